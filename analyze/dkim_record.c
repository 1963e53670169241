#include "analyze/dkim_record.h"

#include "analyze/dkim_tags.h"

const char *dkim_record_parse(struct dkim_record *record, struct span text, struct arena *arena)
{
	struct dkim_tags tags;
	*record = (struct dkim_record){.kind = PKEY_RSA};
	if (!dkim_tags_parse(&tags, text))
		return "syntax of the key record";
	const struct dkim_tag *v = dkim_tag(&tags, "v"), *k = dkim_tag(&tags, "k");
	const struct dkim_tag *p = dkim_tag(&tags, "p"), *h = dkim_tag(&tags, "h");
	const struct dkim_tag *s = dkim_tag(&tags, "s"), *t = dkim_tag(&tags, "t");
	if (v && (v != tags.v || !span_eq(v->value, SPAN("DKIM1"))))
		return "version of the key record";
	if (!p)
		return "key record without p=";
	if (k && span_eq(k->value, SPAN("ed25519")))
		record->kind = PKEY_ED25519;
	else if (k && !span_eq(k->value, SPAN("rsa")))
		return "unknown key type";
	if (h && !dkim_list_has(h->value, SPAN("sha256")))
		return "inappropriate hash algorithm";
	if (s && !dkim_list_has(s->value, SPAN("*")) && !dkim_list_has(s->value, SPAN("email")))
		return "inappropriate service type";
	record->testing = t && dkim_list_has(t->value, SPAN("y"));
	record->strict = t && dkim_list_has(t->value, SPAN("s"));
	if (!p->value.n)
		return "key revoked";
	record->key = dkim_base64(p->value, arena);
	return record->key.p ? NULL : "key is no base64";
}
