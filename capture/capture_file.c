#include "capture/capture_file.h"

#include <errno.h>
#include <stdlib.h>

struct capture_file {
	struct capture_options options;
	struct pcap_source *source;
	struct capture *capture;
	/* Transactions that ended and wait to be taken: a packet can end one, the end of the file
	 * all that were open. */
	struct txn **waiting;
	size_t first, n, cap;
	capture_session_fn *session;
	void *arg;
	bool at_end;
};

static void on_transaction(void *arg, struct txn *t)
{
	struct capture_file *f = arg;
	if (f->n == f->cap) {
		size_t cap = f->cap ? f->cap * 2 : 16;
		struct txn **bigger = realloc(f->waiting, cap * sizeof(struct txn *));
		if (!bigger) {
			txn_free(t);
			return;
		}
		f->waiting = bigger;
		f->cap = cap;
	}
	f->waiting[f->n++] = t;
}

static void on_session(void *arg, const struct smtp_session *s)
{
	struct capture_file *f = arg;
	if (f->session)
		f->session(f->arg, s);
}

int capture_file_open(struct capture_file **f_r, const char *path, const uint16_t *ports,
		      size_t n_ports, capture_session_fn *session, void *arg, const char **error_r)
{
	static const struct smtp_events events = {on_transaction, on_session};
	struct capture_file *f = calloc(1, sizeof(*f));
	*error_r = "out of memory";
	if (!f)
		return -ENOMEM;
	f->options = (struct capture_options){
		.smtp = {.eod = EOD_AUTO, .keep = true, .hash = true},
		.ports = ports,
		.n_ports = n_ports,
		.file = path,
	};
	f->session = session;
	f->arg = arg;
	int r = pcap_source_open_file(&f->source, path, error_r);
	if (r == 0 && !(f->capture = capture_create(&f->options, &events, f)))
		r = -ENOMEM;
	if (r < 0) {
		capture_file_free(f);
		return r;
	}
	*f_r = f;
	return 0;
}

int capture_file_next(struct capture_file *f, struct txn **txn_r, const char **error_r)
{
	struct pcap_frame frame;
	while (f->first == f->n) {
		f->first = f->n = 0;
		if (f->at_end)
			return 0;
		int r = pcap_source_next(f->source, &frame, error_r);
		if (r == 1) {
			capture_frame(f->capture, &frame);
		} else if (r < 0) {
			f->at_end = true;
			capture_finish(f->capture);
			if (r != -ENODATA)
				return r;
		}
	}
	*txn_r = f->waiting[f->first++];
	return 1;
}

void capture_file_free(struct capture_file *f)
{
	if (!f)
		return;
	f->session = NULL;
	capture_free(f->capture);
	pcap_source_close(f->source);
	while (f->first < f->n)
		txn_free(f->waiting[f->first++]);
	free(f->waiting);
	free(f);
}
