/*
 * books_lua - the text of the function library that Redis runs for us (books.lua), and its version.
 */
#pragma once

/* What FUNCTION LOAD takes; NULL when out of memory. */
const char *books_lua_text(void);
/* What the function assay_version of exactly this text answers. */
const char *books_lua_version(void);
