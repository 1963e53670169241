/* DMARC records: any octets; a record that settles gets a policy from libopendmarc. */
#include <assert.h>

#include "analyze/dmarc_lib.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct dmarc_record record;
	struct span text = {(const char *)data, size};
	if (!dmarc_record_parse(&record, text)) {
		assert(!dmarc_record_is(text));
		return 0;
	}
	if (!dmarc_record_settle(&record))
		return 0;
	for (enum dmarc_place place = DMARC_AT_AUTHOR; place <= DMARC_ABOVE_NONE; place++) {
		enum dmarc_policy policy = dmarc_lib_policy(&record, place);
		assert(dmarc_policy_name(policy).p);
		/* np, sp, p: the first one that is there */
		enum dmarc_policy want = place == DMARC_ABOVE_NONE ? record.np : DMARC_ABSENT;
		if (want == DMARC_ABSENT && place != DMARC_AT_AUTHOR)
			want = record.sp;
		assert(policy == (want == DMARC_ABSENT ? record.p : want));
	}
	return 0;
}
