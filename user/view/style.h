/* SPDX-License-Identifier: MIT */
/* What the reader of a view can show; found out by cmd/, so that views stay pure functions. */
#ifndef STRANDED_VIEW_STYLE_H
#define STRANDED_VIEW_STYLE_H

#include <stdbool.h>
#include <stddef.h>

struct view_style {
	bool colour;
	bool utf8;      /* false: ASCII only */
	size_t columns; /* 0: lines are as long as they are */
};

#endif
