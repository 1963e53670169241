/* Link, IP, TCP and SMTP together: the input is a pcap file (any byte order of ours, no pcapng). */
#include <stdint.h>
#include <stdlib.h>

#include "capture/capture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void on_transaction(void *arg, struct txn *t)
{
	(void)arg;
	/* what has a hash is whole, and what is whole has no hole */
	if (t->hashed && (!t->complete || t->n_holes))
		abort();
	struct buf out = BUF_INIT;
	struct json j = JSON_INIT(&out);
	json_open(&j, NULL, '{');
	txn_write_json(t, &j);
	json_close(&j, '}');
	buf_free(&out);
	txn_free(t);
}

static void on_session(void *arg, const struct smtp_session *s)
{
	(void)arg;
	struct buf out = BUF_INIT;
	smtp_session_write(s, true, &out);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint16_t ports[] = {25, 587};
	static const struct smtp_events events = {on_transaction, on_session};
	struct capture_options options = {.smtp = {.keep = true, .hash = true}, .ports = ports,
					  .n_ports = 2};
	uint32_t header[6], record[4];
	if (size < sizeof(header))
		return 0;
	memcpy(header, data, sizeof(header));
	options.smtp.eod = header[2] % 3;
	struct capture *c = capture_create(&options, &events, NULL);
	for (size_t at = sizeof(header); c && size - at >= sizeof(record);) {
		memcpy(record, data + at, sizeof(record));
		at += sizeof(record);
		size_t n = record[2] < size - at ? record[2] : size - at;
		/* a copy of its own: reading past it is seen */
		char *octets = malloc(n ? n : 1);
		if (!octets)
			break;
		memcpy(octets, data + at, n);
		at += n;
		capture_frame(c, &(struct pcap_frame){{octets, n},
						      (int64_t)record[0] * 1000000 + record[1],
						      (int)header[5]});
		free(octets);
		if (record[3] & 1u << 31)
			capture_loss(c);
		if (record[3] & 1u << 30)
			capture_time(c, (int64_t)record[0] * 1000000 + record[1]);
	}
	if (c)
		capture_finish(c);
	capture_free(c);
	return 0;
}
