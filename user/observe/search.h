/* SPDX-License-Identifier: MIT */
/*
 * One target's leak searches: asked for, awaited, read, and their verdicts kept.
 */
#ifndef STRANDED_OBSERVE_SEARCH_H
#define STRANDED_OBSERVE_SEARCH_H

#include "model/model.h"
#include "observe/collect.h"
#include "observe/target.h"

struct search_verdict {
	uint64_t task, generation, root, retained;
	enum strand_verdict verdict;
	enum strand_root_kind root_kind;
	enum strand_leak_why why;
	uint32_t link_count; /* of links of the search */
	size_t link_first;
	uint32_t site; /* number of the site at which a census met its task in that park; 0: none */
	bool counted;  /* the newest census has met it */
};

struct search {                     /* zeroed: none yet */
	struct model_search result; /* of the newest that ended */
	enum model_process_status
		status; /* MODEL_OBSERVED, or what its failure says of the target */

	/* Of the newest that was done. A proof stays true for the park that it is about. */
	struct search_verdict *verdicts; /* sorted by task */
	size_t verdict_count;
	struct model_link *links;
	uint64_t stopped_ns; /* on the target's clock */

	/* Of the one that runs. */
	uint64_t request; /* 0: none */
	int64_t deadline_ns;
	bool has_answer; /* its scan_done came */
	struct event_scan_done answer;
};

/*
 * search_start - ask for a search. Its answer comes as an event.
 * Returns 0, or -errno after noting the failure: there will be no answer.
 */
int search_start(struct search *s, const struct collect_maps *maps, const struct target *t,
		 uint64_t request, int64_t deadline_ns);

/* The event of its answer. Those that answer something else are dropped. */
void search_answered(struct search *s, const struct event_scan_done *event);

/* Take the answer: fetch and read the report. Returns whether there was a usable one. */
bool search_finish(struct search *s, const struct target *t);

/* It got no answer: why, and what that says of the target. */
void search_give_up(struct search *s, const struct collect_maps *maps, const struct target *t,
		    enum model_process_status status, const char *why);

/* The verdict of the newest search about the very park that BPF has, or NULL. */
struct search_verdict *search_find(const struct search *s, const struct collected_task *from);

/* Put a verdict and its explanation into the model. Returns 0 or -ENOMEM. */
int search_explain(const struct search *s, const struct search_verdict *v, struct model_task *task);

/*
 * search_unseen - leaked tasks of the newest search whose park BPF has not been told of.
 * The runtime announces parks some time after they began, and all of them anew after a greeting.
 */
size_t search_unseen(const struct search *s, const struct collect_maps *maps, pid_t pid);

/* Copy the result for the model. Returns 0 or -ENOMEM. */
int search_copy_result(const struct search *s, struct model_search *ret_result);

void search_done(struct search *s);

/* What -errno of control.h means for people, and for the process's status. */
const char *search_control_text(int error);
enum model_process_status search_control_status(int error);

#endif
