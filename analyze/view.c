#include "analyze/view.h"

void view_init(struct view *v, struct arena *arena, size_t bytes)
{
	memset(v, 0, sizeof(*v));
	v->arena = arena;
	/* Every byte that is written stands for at least one that was read: html_reference()
	 * never grows, and a line break stands for its tag. */
	v->text = arena_room(arena, bytes + 64);
	v->hidden = arena_room(arena, bytes + 64);
	v->alt = arena_room(arena, bytes + 64);
	v->capacity = v->text && v->hidden && v->alt ? bytes + 64 : 0;
}

struct span view_link_text(const struct view *v, const struct view_link *l)
{
	struct span s = span_trim((struct span){v->text + l->from, l->to - l->from});
	if (!s.n)
		s = span_trim(
			(struct span){v->hidden + l->hidden_from, l->hidden_to - l->hidden_from});
	if (!s.n)
		s = span_trim((struct span){v->alt + l->alt_from, l->alt_to - l->alt_from});
	return s;
}

void view_add_run(struct view *v, struct view_run run)
{
	if (v->n_runs == LIMIT_HTML_RUNS ||
	    !arena_grow(v->arena, (void **)&v->runs, v->n_runs, &v->cap_runs, sizeof(*v->runs)) ||
	    !arena_grow(v->arena, (void **)&v->shown, v->n_shown, &v->cap_shown, sizeof(*v->shown)))
		return;
	if (run.visible)
		v->shown[v->n_shown++] = (uint32_t)v->n_runs;
	v->runs[v->n_runs++] = run;
}

const struct view_run *view_run_at(const struct view *v, size_t at)
{
	size_t low = 0, high = v->n_shown;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (v->runs[v->shown[mid]].start <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low ? &v->runs[v->shown[low - 1]] : NULL;
}

/* --- plain text ------------------------------------------------------------ */

static bool ends_address(unsigned char c)
{
	return c <= ' ' || c == '<' || c == '>' || c == '"' || c >= 0x80;
}

/* What an octet may be: of a local part as they are seen in mail (RFC 5322 atext has more), the
 * first of "http:", "www.", "mailto:". */
enum { LOCAL = 1, URL_START = 2 };
static uint8_t octets[256];

static void fill_octets(void)
{
	for (int c = 1; c < 128; c++)
		octets[c] = ascii_is_alpha((char)c) || ascii_is_digit((char)c) ||
					    strchr("._-+%=", c)
				    ? LOCAL
				    : 0;
	for (const char *c = "hwmHWM"; *c; c++)
		octets[(unsigned char)*c] |= URL_START;
}

static bool is_local_char(char c)
{
	return octets[(unsigned char)c] & LOCAL;
}

/* Where found addresses go: the links of a plain part, or `written`. */
struct found_links {
	struct arena *arena;
	struct view_link **v;
	size_t *n, *cap;
	size_t base; /* of the line in the visible text */
	uint32_t offset;
	uint16_t part;
};

static void add_found(struct found_links *f, struct span line, size_t from, size_t to)
{
	while (to > from && strchr(".,;:!?)]}'*", line.p[to - 1]))
		to--;
	if (*f->n == LIMIT_HTML_LINKS || to == from ||
	    !arena_grow(f->arena, (void **)f->v, *f->n, f->cap, sizeof(**f->v)))
		return;
	(*f->v)[(*f->n)++] = (struct view_link){.target = span_sub(line, from, to),
						.kind = LINK_PLAIN,
						.from = (uint32_t)(f->base + from),
						.to = (uint32_t)(f->base + to),
						.offset = f->offset + (uint32_t)from,
						.part = f->part,
						.visible = true,
						.px = 16,
						.contrast = 21};
}

/* Whether a line may hold one: "@", the colon of a scheme, the dot of "www.". */
static bool may_hold_address(struct span line)
{
	if (!line.n || memchr(line.p, '@', line.n) || memchr(line.p, ':', line.n))
		return line.n > 0;
	const char *dot = memchr(line.p, '.', line.n), *end = line.p + line.n;
	while (dot && (dot == line.p || ascii_lower(dot[-1]) != 'w'))
		dot = memchr(dot + 1, '.', (size_t)(end - dot - 1));
	return dot != NULL;
}

/* URLs and addresses of one line. */
static void find_addresses(struct found_links *f, struct span line)
{
	size_t word = 0; /* where the characters of a local part began */
	if (!may_hold_address(line))
		return;
	if (!octets['a'])
		fill_octets();
	for (size_t i = 0; i < line.n; i++) {
		char c = line.p[i];
		if (octets[(unsigned char)c] == LOCAL)
			continue;
		char second = i + 1 < line.n ? ascii_lower(line.p[i + 1]) : ' ';
		bool url = false;
		if ((second == 't' && (c == 'h' || c == 'H')) ||
		    (second == 'w' && (c == 'w' || c == 'W') && i == word) ||
		    (second == 'a' && (c == 'm' || c == 'M'))) {
			struct span rest = span_sub(line, i, line.n);
			url = span_case_starts(rest, SPAN("http://")) ||
			      span_case_starts(rest, SPAN("https://")) ||
			      span_case_starts(rest, SPAN("www.")) ||
			      span_case_starts(rest, SPAN("mailto:"));
		}
		size_t from = i;
		if (url) {
			while (i < line.n && !ends_address((unsigned char)line.p[i]))
				i++;
			add_found(f, line, from, i);
			word = i + 1;
		} else if (c == '@' && i > word) {
			from = word;
			for (i++; i < line.n && (is_local_char(line.p[i]) && line.p[i] != '%');)
				i++;
			if (memchr(line.p + from, '.', i - from))
				add_found(f, line, from, i);
			word = i;
			i--;
		} else if (!is_local_char(c)) {
			word = i + 1;
		}
	}
}

void view_find_written(struct view *v)
{
	struct found_links f = {v->arena, &v->written, &v->n_written, &v->cap_written, 0, 0, 0};
	for (size_t i = 0; v->html && i < v->n_runs; i++) {
		const struct view_run *run = &v->runs[i];
		if (!run->visible || (run->link >= 0 && v->links[run->link].kind == LINK_ANCHOR))
			continue;
		size_t before = v->n_written;
		f.base = run->start;
		f.offset = run->offset;
		f.part = run->part;
		find_addresses(&f, span_sub(view_text(v), run->start, run->start + run->length));
		for (; before < v->n_written; before++) {
			v->written[before].px = run->px;
			v->written[before].contrast = run->contrast;
		}
	}
}

void view_add_plain(struct view *v, struct span text, uint16_t part)
{
	struct span rest = text, line;
	if (v->n_text + text.n + 2 > v->capacity)
		return;
	if (v->n_text)
		v->text[v->n_text++] = '\n';
	size_t links = v->n_links;
	while (span_next_line(&rest, &line)) {
		uint32_t offset = (uint32_t)(line.p - text.p);
		while (line.n && ascii_is_space(line.p[line.n - 1]))
			line.n--;
		if (line.n) {
			memcpy(v->text + v->n_text, line.p, line.n);
			struct found_links f = {v->arena,  &v->links, &v->n_links, &v->cap_links,
						v->n_text, offset,    part};
			find_addresses(&f, (struct span){v->text + v->n_text, line.n});
			view_add_run(v, (struct view_run){(uint32_t)v->n_text, (uint32_t)line.n,
							  offset, -1, 16, 21, part, true});
		}
		v->n_text += line.n;
		if (rest.n)
			v->text[v->n_text++] = '\n';
	}
	v->links_seen += v->n_links - links;
}
