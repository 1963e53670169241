/*
 * litehtml_words - the words that litehtml draws of a page, for visible_eval.c.
 *
 * litehtml lays a page out and hands each word to a painter with its font size, colour and box. The
 * painter here keeps the boxes of backgrounds, so that a word's contrast can be told, and obeys
 * clips. An oracle of the tests alone: it knows no font-size 0 and no opacity.
 */
#include <cmath>
#include <cstring>
#include <litehtml.h>
#include <string>
#include <vector>

using litehtml::uint_ptr;

extern "C" void litehtml_words(const char *html,
			       void (*word)(void *, const char *, double contrast, int shown),
			       void *context);

static const char sheet[] =
	"html,body,div,p,center,h1,h2,h3,h4,h5,h6,ul,ol,dl,dt,dd,pre,hr,address,blockquote,form,"
	"section,article,header,footer,main,nav{display:block}"
	"head,title,style,script,meta,link,template{display:none}"
	"table{display:table}tr{display:table-row}td,th{display:table-cell}"
	"thead,tbody{display:table-row-group}tfoot{display:table-footer-group}"
	"caption{display:table-caption}li{display:list-item}"
	"body{margin:8px}a{color:#0000ee}b,strong,th{font-weight:bold}"
	"h1{font-size:2em}h2{font-size:1.5em}h3{font-size:1.17em}small,sub,sup{font-size:smaller}";

static double channel(unsigned char c)
{
	double v = c / 255.0;
	return v <= 0.03928 ? v / 12.92 : std::pow((v + 0.055) / 1.055, 2.4);
}

static double luminance(litehtml::web_color c)
{
	return 0.2126 * channel(c.red) + 0.7152 * channel(c.green) + 0.0722 * channel(c.blue);
}

class painter : public litehtml::document_container
{
	struct box { litehtml::position at; litehtml::web_color color; bool image; };
	std::vector<box> boxes;
	std::vector<litehtml::position> clips;
	void (*word)(void *, const char *, double, int);
	void *context;

public:
	painter(void (*w)(void *, const char *, double, int), void *c) : word(w), context(c) {}
	virtual ~painter() = default;

	uint_ptr create_font(const litehtml::tchar_t *, int size, int, litehtml::font_style,
			     unsigned, litehtml::font_metrics *fm) override
	{
		fm->ascent = size * 8 / 10;
		fm->descent = size - fm->ascent;
		fm->height = size;
		fm->x_height = size / 2;
		return (uint_ptr)(size + 1);
	}
	void delete_font(uint_ptr) override {}
	int text_width(const litehtml::tchar_t *text, uint_ptr font) override
	{
		return (int)(std::strlen(text) * (font - 1) / 2);
	}
	void draw_text(uint_ptr, const litehtml::tchar_t *text, uint_ptr font, litehtml::web_color color,
		       const litehtml::position &pos) override
	{
		bool shown = font > 2 && color.alpha > 0 && pos.x + pos.width > 0 && pos.y + pos.height > 0;
		for (const auto &c : clips)
			shown = shown && c.width > 0 && c.height > 0 && pos.x < c.x + c.width &&
				pos.y < c.y + c.height && pos.x + pos.width > c.x &&
				pos.y + pos.height > c.y;
		litehtml::web_color behind(255, 255, 255);
		bool image = false;
		int x = pos.x + pos.width / 2, y = pos.y + pos.height / 2;
		for (const auto &b : boxes)
			if (x >= b.at.x && x <= b.at.x + b.at.width && y >= b.at.y &&
			    y <= b.at.y + b.at.height) {
				image = b.image;
				if (b.color.alpha)
					behind = b.color;
			}
		double l1 = luminance(color), l2 = luminance(behind);
		double contrast = ((l1 > l2 ? l1 : l2) + 0.05) / ((l1 > l2 ? l2 : l1) + 0.05);
		word(context, text, image ? 0 : contrast, shown);
	}
	int pt_to_px(int pt) const override { return pt * 4 / 3; }
	int get_default_font_size() const override { return 16; }
	const litehtml::tchar_t *get_default_font_name() const override { return "serif"; }
	void draw_list_marker(uint_ptr, const litehtml::list_marker &) override {}
	void load_image(const litehtml::tchar_t *, const litehtml::tchar_t *, bool) override {}
	void get_image_size(const litehtml::tchar_t *, const litehtml::tchar_t *, litehtml::size &sz) override
	{
		sz.width = sz.height = 20;
	}
	void draw_background(uint_ptr, const litehtml::background_paint &bg) override
	{
		boxes.push_back({bg.clip_box, bg.color, !bg.image.empty()});
	}
	void draw_borders(uint_ptr, const litehtml::borders &, const litehtml::position &, bool) override {}
	void set_caption(const litehtml::tchar_t *) override {}
	void set_base_url(const litehtml::tchar_t *) override {}
	void link(const std::shared_ptr<litehtml::document> &, const litehtml::element::ptr &) override {}
	void on_anchor_click(const litehtml::tchar_t *, const litehtml::element::ptr &) override {}
	void set_cursor(const litehtml::tchar_t *) override {}
	void transform_text(litehtml::tstring &, litehtml::text_transform) override {}
	void import_css(litehtml::tstring &, const litehtml::tstring &, litehtml::tstring &) override {}
	void set_clip(const litehtml::position &pos, const litehtml::border_radiuses &, bool, bool) override
	{
		clips.push_back(pos);
	}
	void del_clip() override
	{
		if (!clips.empty())
			clips.pop_back();
	}
	void get_client_rect(litehtml::position &client) const override
	{
		client = litehtml::position(0, 0, 800, 1000000);
	}
	std::shared_ptr<litehtml::element> create_element(const litehtml::tchar_t *,
							  const litehtml::string_map &,
							  const std::shared_ptr<litehtml::document> &) override
	{
		return nullptr;
	}
	void get_media_features(litehtml::media_features &m) const override
	{
		m.type = litehtml::media_type_screen;
		m.width = m.device_width = 800;
		m.height = m.device_height = 600;
		m.color = 8;
		m.color_index = 256;
		m.monochrome = 0;
		m.resolution = 96;
	}
	void get_language(litehtml::tstring &language, litehtml::tstring &culture) const override
	{
		language = "en";
		culture = "";
	}
};

void litehtml_words(const char *html, void (*word)(void *, const char *, double, int), void *context)
{
	painter p(word, context);
	litehtml::context styles;
	styles.load_master_stylesheet(sheet);
	auto page = litehtml::document::createFromUTF8(html, &p, &styles);
	if (!page)
		return;
	page->render(800);
	litehtml::position all(0, -100000, 100000, 10000000);
	page->draw(0, 0, 0, &all);
}
