/*
 * classify - features of a mail and the linear models that weigh them.
 *
 * A feature is a short text ("w:invoice", "h:list-id", "s:re") hashed to a bucket; its value is
 * part of a unit vector per group, so that a long body does not outshout a header. Two models
 * share the buckets: marketing or other, commercial or transactional. tests/eval/class_train
 * makes rules/tables/class.bin with the same functions.
 *
 * The file: struct class_table_head, then for each of CLASS_BUCKETS a signed byte of each model.
 */
#pragma once

#include "analyze/content_parts.h"

#define CLASS_BUCKETS 131072u
#define CLASS_FEATURES 3000 /* of one mail; the words of a long body stop there */
#define CLASS_MAGIC 0x32534c43u /* "CLS2" */

enum class_model { CLASS_MARKETING_MODEL, CLASS_KIND_MODEL, CLASS_MODELS };

struct class_table_head {
	uint32_t magic, buckets;
	float scale[CLASS_MODELS]; /* weight = byte * scale */
	float bias[CLASS_MODELS];
	/* log odds = a * score + b (Platt), fitted on held-out sources */
	float a[CLASS_MODELS], b[CLASS_MODELS];
};

struct class_feature {
	uint32_t bucket;
	float value;
	struct span text; /* for reasons; in the arena or a literal */
};

struct class_features {
	struct class_feature *v;
	size_t n;
};

/* `headers` false: as if the message had none but Subject and From (the trainer's variants). */
struct class_features class_features(const struct content *c, const struct txn *txn, bool headers);
