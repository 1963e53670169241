/* auth_json - the words for results, and the "auth" object of CONTRACT section 2. */
#include "analyze/auth.h"
#include "base/json.h"

const char *auth_result_name(enum auth_result result)
{
	static const char *const names[] = {
		[AUTH_NONE] = "none",           [AUTH_PASS] = "pass",
		[AUTH_FAIL] = "fail",           [AUTH_SOFTFAIL] = "softfail",
		[AUTH_NEUTRAL] = "neutral",     [AUTH_POLICY] = "policy",
		[AUTH_TEMPERROR] = "temperror", [AUTH_PERMERROR] = "permerror",
	};
	return names[result];
}

static void write_spf(struct json *j, const char *key, const struct spf_result *spf)
{
	json_open(j, key, '{');
	json_cstr(j, "result", auth_result_name(spf->result));
	json_text(j, "domain", spf->domain);
	json_text(j, "mechanism", spf->mechanism);
	json_text(j, "explanation", spf->explanation);
	json_close(j, '}');
}

static void write_dkim(struct json *j, const struct auth *auth)
{
	json_open(j, "dkim", '[');
	for (size_t i = 0; i < auth->n_dkim; i++) {
		const struct dkim_result *d = &auth->dkim[i];
		json_open(j, NULL, '{');
		json_text(j, "d", d->d);
		json_text(j, "s", d->s);
		json_cstr(j, "result", auth_result_name(d->result));
		json_cstr(j, "reason", d->reason);
		json_close(j, '}');
	}
	json_close(j, ']');
}

static void write_dmarc(struct json *j, const struct dmarc_result *dmarc)
{
	json_open(j, "dmarc", '{');
	json_cstr(j, "result", auth_result_name(dmarc->result));
	json_text(j, "policy", dmarc->policy);
	json_text(j, "disposition", dmarc->disposition);
	json_text(j, "domain", dmarc->domain);
	json_close(j, '}');
}

static void write_ptr(struct json *j, const struct ptr_result *ptr)
{
	json_open(j, "ptr", '{');
	if (ptr->known) {
		json_open(j, "names", '[');
		for (size_t i = 0; i < ptr->n; i++)
			json_text(j, NULL, ptr->names[i]);
		json_close(j, ']');
	} else {
		json_null(j, "names");
	}
	if (ptr->known && ptr->confirmed_known)
		json_bool(j, "confirmed", ptr->confirmed);
	else
		json_null(j, "confirmed");
	json_close(j, '}');
}

void auth_write_json(const struct auth *auth, struct json *j, const char *key)
{
	json_open(j, key, '{');
	write_spf(j, "spf", &auth->spf);
	write_spf(j, "spf_helo", &auth->spf_helo);
	write_dkim(j, auth);
	write_dmarc(j, &auth->dmarc);
	json_open(j, "arc", '{');
	json_cstr(j, "result", auth_result_name(auth->arc.result));
	json_close(j, '}');
	write_ptr(j, &auth->ptr);
	json_close(j, '}');
}
