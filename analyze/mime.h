/*
 * mime - where the parts of a multipart lie, found by GMime. The only user of GMime.
 *
 * GMime gets a bounded view (preflight.h) and is asked for the tree alone: the header fields of a
 * part, its transfer encoding and charset are read by us from the octets themselves.
 *
 * Ownership: in the arena given.
 */
#pragma once

#include "analyze/preflight.h"

struct mime_node {
	bool multipart;
	unsigned depth;        /* 0: the message itself */
	bool has_header;
	size_t header;         /* offset in the octets of the message; with has_header */
	size_t begin, end;     /* of a leaf's body, offsets likewise */
};

struct mime_tree {
	struct mime_node *v; /* in document order */
	size_t n;
	bool cut; /* LIMIT_MIME_DEPTH, LIMIT_MIME_PARTS, or the arena was full */
};

void mime_prepare(void);
/* -ENOMEM */
__attribute__((warn_unused_result)) int mime_read(struct mime_tree *tree, struct arena *arena,
						  const struct preflight_view *view);
