/* SPDX-License-Identifier: MIT */
/* What the reader of standard output can show. */
#ifndef STRANDED_CMD_TERMINAL_H
#define STRANDED_CMD_TERMINAL_H

#include "view/style.h"

enum colour_choice { COLOUR_AUTO, COLOUR_ALWAYS, COLOUR_NEVER };

/* Looks at the terminal, the locale and COLUMNS, NO_COLOR and TERM; again for each refresh. */
struct view_style terminal_style(enum colour_choice colour);

#endif
