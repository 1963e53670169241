/* Unit tests of the HTML scanner, the cascade and the view. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "analyze/view.h"
#include "base/buf.h"
#include "base/clock.h"

static struct arena arena;

static int setup(void **state)
{
	(void)state;
	arena_init(&arena, (size_t)256 << 20);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	arena_free(&arena);
	return 0;
}

static struct view read_html(struct span html)
{
	struct view v;
	view_init(&v, &arena, html.n);
	view_add_html(&v, html, 0);
	return v;
}

static void test_text(void **state)
{
	static const struct {
		const char *name, *html, *text, *hidden;
	} rows[] = {
		{"blanks", "<p>a  \n b</p><p>c</p>", "a b\nc", ""},
		{"entities", "a&amp;b &lt;c&gt; &eacute;&#233;&#xE9; &copy 1 &unknown; &#0;",
		 "a&b <c> \xc3\xa9\xc3\xa9\xc3\xa9 \xc2\xa9 1 &unknown; \xef\xbf\xbd", ""},
		{"windows-1252 reference", "&#146;", "\xe2\x80\x99", ""},
		{"comment", "a<!-- <p>no</p> -->b", "ab", ""},
		{"short comment", "a<!-->b<!--->c", "abc", ""},
		{"script, style, title",
		 "<title>t</title><script>x<b>y</script>a<style>p{}</style>b", "ab", ""},
		{"open script", "a<script>b", "a", ""},
		{"less-than", "1 < 2 <3 a<b", "1 < 2 <3 a", ""},
		{"quotes", "<p title='a>b'>c", "c", ""},
		{"open quote", "a<p title=\"b>c", "a", ""},
		{"attribute without quotes", "<p style=display:none>a</p>b", "b", "a"},
		{"display none", "a<div style=\"display:none\">b<b>c</b></div>d", "a\nd", "bc"},
		{"visibility",
		 "<div style='visibility:hidden'>a<b style='visibility:visible'>b</b>", "b", "a"},
		{"size 0", "<span style='font-size:0'>a</span>b", "b", "a"},
		{"opacity", "<span style='opacity:0'>a</span>b", "b", "a"},
		{"max-height", "<div style='max-height:0;overflow:hidden'>a</div>b", "b", "a"},
		{"max-height without overflow", "<div style='max-height:0'>a</div>b", "a\nb", ""},
		{"off screen", "<div style='position:absolute;left:-9999px'>a</div>b", "b", "a"},
		{"own colour", "<td bgcolor=#ffffff><font color=white>a</font>b", "b", "a"},
		{"own colour inherited", "<div style='background:#fff'><p style='color:#fefefe'>a",
		 "", "a"},
		{"white on red", "<td bgcolor=red><font color=white>a", "a", ""},
		{"class",
		 "<style>.x, .y {display:none} p.z{color:#fff}</style><p class='w x'>a"
		 "<p class=z>b<p class=w>c",
		 "c", "a\nb"},
		{"id and descendant",
		 "<style>#f p b{display:none}</style><div id=f><p><i><b>a</b></i>b"
		 "</div><b>c</b>",
		 "b\nc", "a"},
		{"child", "<style>div > b{display:none}</style><div><i><b>a</b></i><b>b</b></div>",
		 "a", "b"},
		{"specificity",
		 "<style>#a{display:inline}.b{display:none}p{display:none}</style>"
		 "<p id=a class=b>x",
		 "x", ""},
		{"important",
		 "<style>.b{display:none !important}</style><p class=b style='display:block'>x", "",
		 "x"},
		{"media",
		 "<style>@media (max-width:600px){p{display:none}}@media screen{b{display:none}}"
		 "i{display:none}</style><p>a</p><b>b</b><i>c</i>",
		 "a", "bc"},
		{"style in conditional comment",
		 "<!--[if mso]><style>p{display:none}</style><![endif]--><p>a", "a", ""},
		{"style behind", "<p class=q>a</p>b<style>.q{display:none}</style>", "b", "a"},
		{"pseudo class", "<style>a:hover{display:none}</style><a href=x>a</a>", "a", ""},
		{"p closes p", "<p style='display:none'>a<p>b", "b", "a"},
		{"td closes td", "<table><tr><td style='display:none'>a<td>b<tr><td>c</table>d",
		 "b\nc\nd", "a"},
		{"li closes li", "<ul><li style='display:none'>a<li>b</ul>", "b", "a"},
		{"hidden attribute", "<p hidden>a</p>b", "b", "a"},
		{"no-break spaces",
		 "a&nbsp;&#160;\xc2\xa0\xe3\x80\x80"
		 "b",
		 "a b", ""},
		{"pre", "<pre>a\nb</pre>", "a\nb", ""},
		{"stray ends", "</div></td>a</b>b", "ab", ""},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view v = read_html(span_of(rows[i].html));
		struct span hidden = {v.hidden, v.n_hidden};
		if (!span_eq(view_text(&v), span_of(rows[i].text)) ||
		    !span_eq(hidden, span_of(rows[i].hidden)))
			fail_msg("%s: text '%.*s' hidden '%.*s'", rows[i].name,
				 SPAN_ARG(view_text(&v)), SPAN_ARG(hidden));
	}
}

static void test_links(void **state)
{
	static const struct {
		const char *name, *html, *target, *text;
		bool visible;
		float px, contrast;
	} rows[] = {
		{"plain", "<a href='http://x.test/a?b&amp;c'>go</a>", "http://x.test/a?b&c", "go",
		 true, 16, 9.4f},
		{"image",
		 "<a href=http://x.test><img src=http://i.test/i.png alt='Un &amp; sub'></a>",
		 "http://x.test", "Un & sub", true, 0, 0},
		{"hidden", "<a href=http://x.test style='display:none'>go</a>", "http://x.test",
		 "go", false, 0, 0},
		{"small grey", "<p style='font-size:8px'><a href=u style='color:#ccc'>go</a>", "u",
		 "go", true, 8, 1.6f},
		{"points", "<a href=u style='font:bold 9pt/1.2 Arial;color:black'>go</a>", "u",
		 "go", true, 12, 21},
		{"on image", "<td background=i.png><a href=u>go", "u", "go", true, 16, 0},
		{"percent of em",
		 "<div style='font-size:2em'><a href=u style='font-size:50%;color:#000'>go", "u",
		 "go", true, 16, 21},
		{"font size", "<font size=1 color=#000000><a href=u style='color:inherit'>go", "u",
		 "go", true, 10, 21},
		{"area", "<map><area href=http://x.test/u alt=Unsubscribe></map>",
		 "http://x.test/u", "Unsubscribe", true, 0, 0},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct view v = read_html(span_of(rows[i].html));
		if (v.n_links != 1)
			fail_msg("%s: %zu links", rows[i].name, v.n_links);
		const struct view_link *l = &v.links[0];
		struct span text = view_link_text(&v, l);
		if (!span_eq(l->target, span_of(rows[i].target)) ||
		    !span_eq(text, span_of(rows[i].text)) || l->visible != rows[i].visible ||
		    l->px != rows[i].px || l->contrast < rows[i].contrast - 0.1f ||
		    l->contrast > rows[i].contrast + 0.1f)
			fail_msg("%s: '%.*s' '%.*s' visible %d px %g contrast %g", rows[i].name,
				 SPAN_ARG(l->target), SPAN_ARG(text), l->visible, (double)l->px,
				 (double)l->contrast);
	}
}

static void test_plain(void **state)
{
	(void)state;
	struct view v;
	struct span text =
		SPAN("See http://a.test/x, or\nwrite to <me@b.test>.\nwww.c.test, a@b and @ x");
	static const char *const want[] = {"http://a.test/x", "me@b.test", "www.c.test"};
	view_init(&v, &arena, text.n);
	view_add_plain(&v, text, 3);
	assert_int_equal(v.n_links, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_true(span_eq(v.links[i].target, span_of(want[i])));
		assert_true(span_eq(
			span_sub(text, v.links[i].offset, v.links[i].offset + v.links[i].target.n),
			v.links[i].target));
	}
	assert_int_equal(view_run_at(&v, 30)->part, 3);
}

static void test_things(void **state)
{
	(void)state;
	struct view v =
		read_html(SPAN("<form action=/x><input required><input type=submit value=Go></form>"
			       "<img src=http://p.test/o width=1 height=1><img src=http://p.test/i "
			       "width=300 height=200><div onclick=x()>a<iframe>"));
	assert_int_equal(v.forms, 1);
	assert_int_equal(v.form_required, 1);
	assert_int_equal(v.pixels, 1);
	assert_int_equal(v.images, 1);
	assert_true(v.image_area == 60000);
	assert_int_equal(v.active, VIEW_FORM | VIEW_HANDLER | VIEW_IFRAME);
	assert_true(v.faults & VIEW_NO_BODY);
	assert_true(v.faults & VIEW_UNCLOSED);
}

/* 25 kB of each and 400 kB of each: what is linear takes 16 times the CPU, what is quadratic 256
 * times. No machine is so busy that it takes the one for the other. */
static void test_bombs(void **state)
{
	static const struct {
		const char *name, *head, *unit;
	} rows[] = {
		{"div", "", "<div>"},
		{"nested tables", "", "<table><tr><td>"},
		{"open p under td", "<p><table><tr><td><span><span><span>", "<div><span>"},
		{"stray ends", "<div>", "</td></p></table>"},
		{"style rules", "", "<style>div{color:red}</style><div>x"},
		{"one sheet", "<style>", "p.a b{color:red}"},
		{"classes", "<style>.a .a .a .b{color:red}.a .b{color:blue}</style>",
		 "<i class='a b'>x</i>"},
		{"deep classes", "<style>.a .a .a .b{color:red}</style>", "<i class='a b'>x"},
		{"references", "", "&amp;&#x41;&bogus;&"},
		{"quotes", "", "<a b=\""},
		{"less-than", "", "<"},
		{"comments", "", "<!--"},
		{"attributes", "<p ", "a=b "},
		{"blanks", "", "          "},
		{"links", "", "<a href=x>y"},
		{"images", "", "<img src=http://x width=1 alt=a>"},
		{"raw text", "<script>", "</scrip"},
		{"cdata", "", "<![CDATA["},
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		double took[2];
		for (int large = 0; large < 2; large++) {
			struct buf b = BUF_INIT;
			buf_adds(&b, rows[i].head);
			while (b.n < (large ? 400000u : 25000u))
				buf_adds(&b, rows[i].unit);
			double best = 1e9;
			for (int run = 0; run < 3; run++) {
				int64_t start = clock_cpu_us();
				read_html(buf_span(&b));
				double ms = (double)(clock_cpu_us() - start) / 1e3;
				best = ms < best ? ms : best;
				arena_reset(&arena);
			}
			took[large] = best;
			buf_free(&b);
		}
		if (took[1] > 100 * (took[0] + 0.2))
			fail_msg("%s: 25 kB %.2f ms, 400 kB %.2f ms", rows[i].name, took[0],
				 took[1]);
		print_message("# %s: 25 kB %.2f ms, 400 kB %.2f ms\n", rows[i].name, took[0],
			      took[1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_links, setup, teardown),
		cmocka_unit_test_setup_teardown(test_plain, setup, teardown),
		cmocka_unit_test_setup_teardown(test_things, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bombs, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
