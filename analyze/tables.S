/* tables - see tables.h. The paths come from analyze/meson.build. */
	.section .rodata
	.balign 64
	.globl assay_phrases_begin, assay_phrases_end
assay_phrases_begin:
	.incbin TABLE_PHRASES
assay_phrases_end:
	.balign 64
	.globl assay_class_begin, assay_class_end
assay_class_begin:
	.incbin TABLE_CLASS
assay_class_end:
	.balign 64
	.globl assay_ngrams_begin, assay_ngrams_end
assay_ngrams_begin:
	.incbin TABLE_NGRAMS
assay_ngrams_end:
	.section .note.GNU-stack, "", %progbits
