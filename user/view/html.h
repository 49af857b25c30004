/* SPDX-License-Identifier: MIT */
/* Texts of unknown origin in HTML: between tags and in quoted attributes. */
#ifndef STRANDED_VIEW_HTML_H
#define STRANDED_VIEW_HTML_H

#include <stdio.h>

/*
 * html_text - write a text that is safe to print already (escape_text()) so that it is no markup.
 * Without the first it could still act on the reader's eyes, without this on the page.
 */
void html_text(FILE *out, const char *escaped);
/* The same for a text as a target said it; NULL is "". */
void html_raw(FILE *out, const char *text);

#endif
