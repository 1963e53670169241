/*
 * A set from folders: `*.rules` of a folder are always read, those of a subfolder are a pack. All
 * packs are read, so that a fault in one that is off is found too; the ones that are on are judged.
 * Then the local adjustments, as far as they have not expired.
 */
#include "analyze/rules_private.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/digest.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/limits.h"

#define RULES_BYTES ((size_t)64 << 20)

static bool pack_is_on(const struct config *config, struct span pack)
{
	for (size_t i = 0; i < config->packs.n; i++)
		if (span_eq(pack, span_of(config->packs.v[i])))
			return true;
	return pack.n == 0;
}

static bool is_folder(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static void read_folder(struct ruleset *set, const char *folder, struct span pack)
{
	struct dirent **entries;
	int n = scandir(folder, &entries, NULL, alphasort);
	if (n < 0) {
		diag_error(set->diag, (struct place){folder, 0, 0}, "%s", strerror(errno));
		return;
	}
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;
		struct span path = arena_printf(&set->arena, "%s/%s", folder, name);
		if (name[0] != '.' && path.p) {
			if (span_ends(span_of(name), SPAN(".rules")))
				rules_read_file(set, path.p, pack);
			else if (pack.n == 0 && is_folder(path.p) && strcmp(name, "lists") != 0 &&
				 strcmp(name, "tables") != 0)
				read_folder(set, path.p, arena_copy(&set->arena, span_of(name)));
		}
		free(entries[i]);
	}
	free(entries);
}

/* --- lists --------------------------------------------------------------------------- */

static int by_text(const void *a, const void *b)
{
	return span_cmp(*(const struct span *)a, *(const struct span *)b);
}

static struct rule_list *read_list(struct ruleset *set, const char *path, struct span name)
{
	struct file_view view;
	struct rule_list *list = ARENA_NEW(&set->arena, struct rule_list);
	size_t cap = 0;
	if (!list || file_view_open(path, LIMIT_RULE_FILE_BYTES, &view) < 0)
		return NULL;
	struct span rest = view.bytes, line;
	while (span_next_line(&rest, &line)) {
		line = span_trim(span_sub(line, 0, span_find_char(line, '#')));
		if (line.n && arena_grow(&set->arena, (void **)&list->entries, list->n, &cap,
					 sizeof(struct span)))
			list->entries[list->n++] = arena_lower(&set->arena, line);
	}
	file_view_close(&view);
	if (list->n)
		qsort(list->entries, list->n, sizeof(struct span), by_text);
	for (size_t i = 0; i < list->n; i++) {
		buf_addc(set->hash_text, '@');
		buf_add(set->hash_text, list->entries[i]);
	}
	list->name = arena_copy(&set->arena, name);
	list->next = set->lists;
	set->lists = list;
	return list;
}

const struct rule_list *rule_list_get(struct ruleset *set, struct span name, struct place at)
{
	char path[4200];
	for (const struct rule_list *l = set->lists; l; l = l->next)
		if (span_eq(l->name, name))
			return l;
	bool plain = name.n > 0 && name.n < 100 && span_find_char(name, '/') == SIZE_MAX;
	/* the last folder wins: a local list takes the place of a shipped one */
	for (size_t i = set->config->rules.n; plain && i > 0; i--) {
		snprintf(path, sizeof(path), "%s/lists/%.*s.txt", set->config->rules.v[i - 1],
			 SPAN_ARG(name));
		struct rule_list *l = read_list(set, path, name);
		if (l)
			return l;
	}
	diag_error(set->diag, at, "no list '@%.*s': lists/%.*s.txt is in no folder of rules",
		   SPAN_ARG(name), SPAN_ARG(name));
	return NULL;
}

static bool has_entry(const struct rule_list *list, struct span key)
{
	return list->n &&
	       bsearch(&key, list->entries, list->n, sizeof(struct span), by_text) != NULL;
}

bool rule_list_has(const struct rule_list *list, struct span entry, struct arena *scratch)
{
	if (list->n == 0 || entry.n == 0)
		return false;
	struct span key = arena_lower(scratch, entry);
	if (has_entry(list, key))
		return true;
	/* ".example.com" holds example.com and all below */
	struct span dotted = arena_printf(scratch, ".%.*s", SPAN_ARG(key));
	while (dotted.n) {
		if (has_entry(list, dotted))
			return true;
		size_t dot = span_find_char(span_sub(dotted, 1, dotted.n), '.');
		dotted = dot == SIZE_MAX ? SPAN_NONE : span_sub(dotted, dot + 1, dotted.n);
	}
	return false;
}

/* --- adjustments ------------------------------------------------------------------------ */

static struct rule *find_rule(struct ruleset *set, struct span name)
{
	for (struct rule *r = set->first; r; r = r->next)
		if (span_eq(r->name, name))
			return r;
	return NULL;
}

static void apply_adjusts(struct ruleset *set, int64_t today_us)
{
	for (struct rule_adjust *a = set->adjusts; a; a = a->next) {
		struct rule *rule = find_rule(set, a->rule);
		if (!rule) {
			struct diag_guess g = diag_guess(a->rule);
			for (struct rule *r = set->first; r; r = r->next)
				diag_guess_try(&g, r->name);
			diag_error(set->diag, a->at, "unknown rule '%.*s'%s", SPAN_ARG(a->rule),
				   diag_guess_text(&g));
			continue;
		}
		/* the day named is the last one */
		if (a->has_until && today_us >= a->until_us + 86400 * US_PER_S) {
			diag_warning(set->diag, a->until_at, "expired; '%.*s' is as shipped again",
				     SPAN_ARG(a->rule));
			continue;
		}
		rule->disabled |= a->disable;
		if (a->has_score)
			rule->score = a->score;
		if (a->has_level)
			rule->level = a->level;
	}
}

/* --- the set ------------------------------------------------------------------------------- */

static void collect_rules(struct ruleset *set)
{
	size_t n = 0;
	for (struct rule *r = set->first; r; r = r->next)
		n++;
	set->rules = ARENA_ARRAY(&set->arena, struct rule *, n + 1);
	for (struct rule *r = set->first; r && set->rules; r = r->next) {
		r->off = !pack_is_on(set->config, r->pack);
		if (!r->off && !r->disabled)
			set->rules[set->n++] = r;
	}
}

static void check_packs(struct ruleset *set)
{
	const struct config_texts *packs = &set->config->packs;
	/* a default stands nowhere; what has not got it is the folder of rules */
	struct place nowhere = {set->config->rules.n ? set->config->rules.v[0] : "rules", 0, 0};
	for (size_t i = 0; i < packs->n; i++) {
		struct span pack = span_of(packs->v[i]);
		struct diag_guess g = diag_guess(pack);
		bool found = false;
		for (struct rule *r = set->first; r; r = r->next) {
			found |= span_eq(r->pack, pack);
			if (r->pack.n)
				diag_guess_try(&g, r->pack);
		}
		if (!found)
			diag_error(set->diag,
				   packs->at ? (struct place){set->config->file, packs->at[i].line,
							      packs->at[i].column}
					     : nowhere,
				   "unknown pack '%.*s'%s", SPAN_ARG(pack), diag_guess_text(&g));
		buf_addc(set->hash_text, '+');
		buf_add(set->hash_text, pack);
	}
}

int ruleset_load(struct ruleset **set_r, const struct config *config, int64_t today_us)
{
	struct diag diag = {.out = NULL};
	struct buf hash_text = BUF_INIT;
	struct ruleset *set = calloc(1, sizeof(*set));
	if (!set)
		return -ENOMEM;
	*set = (struct ruleset){.refs = 1, .config = config, .diag = &diag, .hash_text = &hash_text,
				.levels = {0, 5, INFINITY, INFINITY}, .standing = {1, 1}};
	set->last = &set->first;
	set->last_adjust = &set->adjusts;
	arena_init(&set->arena, RULES_BYTES);
	for (size_t i = 0; i < config->rules.n; i++)
		read_folder(set, config->rules.v[i], SPAN_NONE);
	apply_adjusts(set, today_us);
	collect_rules(set);
	check_packs(set);
	char text[SHA256_TEXT_BYTES];
	memcpy(set->hash, sha256_text(buf_span(&hash_text), text), 16);
	int r = set->arena.overflowed || hash_text.failed ? -ENOMEM : diag.errors ? RULES_E_FAULTS : 0;
	buf_free(&hash_text);
	set->config = NULL;
	set->diag = NULL;
	set->hash_text = NULL;
	if (r) {
		ruleset_unref(set);
		return r;
	}
	*set_r = set;
	return 0;
}

struct ruleset *ruleset_ref(struct ruleset *set)
{
	set->refs++;
	return set;
}

void ruleset_unref(struct ruleset *set)
{
	if (!set || --set->refs)
		return;
	for (size_t i = 0; i < set->n_patterns; i++)
		pattern_free(set->patterns[i]);
	arena_free(&set->arena);
	free(set);
}

const char *ruleset_hash(const struct ruleset *set)
{
	return set->hash;
}

size_t ruleset_count(const struct ruleset *set)
{
	return set->n;
}

static struct rule_info info_of(const struct rule *r)
{
	return (struct rule_info){
		.name = r->name.p, .pack = r->pack.p ? r->pack.p : "", .clause = r->clause->number,
		.tell = r->tell.p, .tell_zh = r->tell_zh.p ? r->tell_zh.p : r->tell.p,
		.file = r->at.file, .line = r->at.line, .level = r->level, .score = r->score,
		.off = r->off, .disabled = r->disabled,
	};
}

struct rule_info ruleset_rule(const struct ruleset *set, size_t i)
{
	return info_of(set->rules[i]);
}

void ruleset_each(const struct ruleset *set, void (*visit)(void *arg, const struct rule_info *rule),
		  void *arg)
{
	for (const struct rule *r = set->first; r; r = r->next) {
		struct rule_info info = info_of(r);
		visit(arg, &info);
	}
}

const struct limit *ruleset_limits(const struct ruleset *set, enum limit_scope scope, size_t *n_r)
{
	*n_r = set->n_limits[scope];
	return set->limits[scope];
}

struct limit_standing ruleset_standing(const struct ruleset *set)
{
	return set->standing;
}
