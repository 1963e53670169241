/*
 * paths - where Assay's own files are: beside the sources for a program run from its build
 * folder, else where `meson install` put them.
 *
 * The results are static texts without '/' at their end. Whether the folder is there is not looked at.
 */
#pragma once

const char *path_rules(void);   /* packs and lists */
const char *path_samples(void); /* mails that the rules' tests name */
