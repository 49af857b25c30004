/* SPDX-License-Identifier: MIT */
/* Writes texts into HTML and SVG. */
#include "view/html.h"

#include "view/escape.h"

void html_text(FILE *out, const char *escaped)
{
	for (; *escaped; escaped++) {
		switch (*escaped) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			fputc(*escaped, out);
		}
	}
}

void html_raw(FILE *out, const char *text)
{
	char escaped[ESCAPE_ROOM];

	html_text(out, escape_text(text, true, sizeof(escaped), escaped));
}
