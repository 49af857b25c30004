/* SPDX-License-Identifier: MIT */
/* Remembers which leaks have been told, and tells the others. */
#include "serve/news.h"

#include <errno.h>

#include "view/escape.h"
#include "view/place.h"

static bool is_known(const struct news *n, const struct news_item *item)
{
	for (size_t i = 0; i < NEWS_KNOWN_MAX; i++) {
		const struct news_item *k = &n->known[i];

		if (k->pid == item->pid && k->start_ticks == item->start_ticks &&
		    k->fingerprint == item->fingerprint)
			return true;
	}
	return false;
}

static void remember(struct news *n, const struct news_item *item)
{
	n->known[n->next] = *item;
	n->next = (n->next + 1) % NEWS_KNOWN_MAX;
}

/* Always ASCII: the reader's character set is not known. */
static void write_leak(FILE *out, const struct model_site *site, bool levels)
{
	const struct model_task *t = site->example;
	char command[ESCAPE_ROOM], place[PLACE_ROOM];

	fprintf(out, "%sstranded: %d (%s): %zu leaked %s", levels ? "<4>" : "", site->process->pid,
		escape_text(site->process->command, false, sizeof(command), command), site->count,
		site->count == 1 ? "task" : "tasks");
	fprintf(out, ": %s", model_reason_text(t->reason));
	if (t->stack.count)
		fprintf(out, " in %s", place_line(&t->stack.frames[0], false, place));
	if (t->created_by.pc)
		fprintf(out, ", created by %s", place_line(&t->created_by, false, place));
	fputc('\n', out);
}

int news_write(FILE *out, struct news *n, const struct model *m, bool levels)
{
	struct model_sites sites;
	size_t lines = 0;

	if (model_sites_build(m, &sites))
		return -ENOMEM;
	for (size_t i = 0; i < sites.count; i++) {
		const struct model_site *site = &sites.sites[i];
		const struct news_item item = {site->process->pid, site->process->start_ticks,
					       site->fingerprint};

		if (site->example->state != MODEL_LEAKED || is_known(n, &item))
			continue;
		remember(n, &item);
		if (lines++ < NEWS_LINES_MAX)
			write_leak(out, site, levels);
	}
	if (lines > NEWS_LINES_MAX)
		fprintf(out, "%sstranded: %zu more places with new leaks: see /v1/leaks\n",
			levels ? "<4>" : "", lines - NEWS_LINES_MAX);
	fflush(out);
	model_sites_done(&sites);
	return 0;
}
