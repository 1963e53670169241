/* sender_show - what the registry knows of a sender, for people and as JSON on stdout. */
#pragma once

#include "feedback/registry.h"

/* -EIO when stdout cannot take it. `arg` of the list functions is not used. */
__attribute__((warn_unused_result)) int sender_show_line(const struct registry_sender *s,
							 void *arg);
__attribute__((warn_unused_result)) int sender_show_json(const struct registry_sender *s,
							 void *arg);
__attribute__((warn_unused_result)) int sender_show_text(const struct registry_sender *s);
/* Proofs with what has to be done for those that are missing. */
__attribute__((warn_unused_result)) int sender_show_proofs(const struct registry_sender *s);
/* The latest filing: what `import` reads. Decisions are not exported: they are made where they
 * hold. */
__attribute__((warn_unused_result)) int sender_export_text(const struct registry_sender *s,
							   void *arg);
__attribute__((warn_unused_result)) int sender_export_json(const struct registry_sender *s,
							   void *arg);
