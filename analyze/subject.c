/* subject - what the Subject promises against what the mail is. */
#include "analyze/content_parts.h"

/* "Re:", "Fwd:" and their kin of other languages at the start of a folded subject; the rest. */
static bool reply_prefix(struct span s, struct span *rest_r)
{
	static const char *const prefixes[] = {"re:", "re :", "fw:", "fwd:", "aw:", "wg:", "tr:", "sv:",
		"rv:", "rif:", "res:", "enc:", "antw:", "vs:", "\xe5\x9b\x9e\xe5\xa4\x8d:",
		"\xe8\xbd\xac\xe5\x8f\x91:", "\xe5\x9b\x9e\xe8\xa6\x86:", "\xe8\xbd\x89\xe5\xaf\x84:",
		"\xe7\xad\x94\xe5\xa4\x8d:", "\xe7\xad\x94\xe8\xa6\x86:", "\xe8\xbd\x89\xe7\x99\xbc:",
		"\xe5\x9b\x9e\xe8\xa6\x86\xef\xbc\x9a", NULL};
	for (const char *const *p = prefixes; *p; p++)
		if (span_starts(s, span_of(*p))) {
			*rest_r = span_sub(s, strlen(*p), s.n);
			return true;
		}
	return false;
}

/* Something of an earlier message stands in the body. */
static bool quotes(const struct content *c)
{
	static const char *const marks[] = {"wrote:", "writes:", "-----original message", "\nfrom:",
		"forwarded message", "begin forwarded", "said:", "schrieb", "a ecrit", "escribio:",
		"ha scritto", "\xe5\x86\x99\xe9\x81\x93", "\xe5\x8e\x9f\xe5\xa7\x8b\xe9\x82\xae\xe4\xbb\xb6",
		"\xe5\x8f\x91\xe4\xbb\xb6\xe4\xba\xba", "\xe5\xaf\xab\xe9\x81\x93",
		"\xe7\x9a\x84\xe5\xa4\xa7\xe4\xbd\x9c\xe4\xb8\xad\xe6\x8f\x90\xe5\x88\xb0", NULL};
	const struct reading *readings[] = {&c->shown, &c->other};
	for (size_t r = 0; r < 2; r++) {
		struct span s = readings[r]->text.text;
		for (const char *const *m = marks; *m; m++)
			if (span_find(s, span_of(*m)) != SIZE_MAX)
				return true;
		for (size_t i = 0; i + 1 < s.n; i++)
			if ((i == 0 || s.p[i - 1] == '\n') &&
			    (s.p[i] == '>' || (s.p[i] == '|' && s.p[i + 1] == ' ') ||
			     (i + 2 < s.n && s.p[i + 1] == '>' && ascii_is_alpha(s.p[i]))))
				return true;
	}
	for (size_t i = 0; i < c->message->n_parts; i++)
		if (span_starts(c->message->parts[i].type, SPAN("message/")))
			return true;
	return false;
}

static void fake_reply_fact(const struct content *c, struct span folded, struct facts *f)
{
	const struct message *m = c->message;
	struct span rest;
	bool reply = reply_prefix(folded, &rest);
	bool thread = message_header(m, "In-Reply-To", NULL) || message_header(m, "References", NULL);
	if (!m->subject.p) {
		facts_set_absent(f, F_SUBJECT_FAKE_REPLY);
		return;
	}
	if (reply && !thread && !c->readable) {
		facts_set_unknown(f, F_SUBJECT_FAKE_REPLY);
		return;
	}
	struct fact *fact = facts_set_condition(f, F_SUBJECT_FAKE_REPLY,
						reply && !thread && !quotes(c));
	struct header *h = message_header(m, "Subject", NULL);
	facts_evidence(fact, m->subject, h ? (int64_t)h->offset : -1, h ? h->field.n : 0);
}

void subject_facts(struct content *c, struct facts *f)
{
	const struct message *m = c->message;
	struct span folded = m->subject.p ? fold_text(c->arena, m->subject).text : SPAN_NONE;
	fake_reply_fact(c, folded, f);
	struct span bare = span_trim(folded), rest;
	for (int i = 0; i < 4 && reply_prefix(bare, &rest); i++)
		bare = span_trim(rest);
	facts_set_condition(f, F_SUBJECT_EMPTY, bare.n == 0);
	facts_set_unknown(f, F_SUBJECT_CONSISTENCY);
}
