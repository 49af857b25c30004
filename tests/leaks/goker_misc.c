/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in Hugo, Istio and Syncthing, by the number of the issue or pull request. */
#include "corpus.h"

/*
 * Hugo 5379: what renders a page holds the content and asks for its number of words, which
 * needs the content. Renderers give up waiting, go on to need it, too, and pile up.
 */
struct hugo5379 {
	struct strand_mutex content;
	struct strand_once plain;
	struct strand_waitgroup renderers;
	struct strand_chan *rendered;
};

void hugo5379_word_count(struct hugo5379 *page)
{
	lock(&page->content);
	unlock(&page->content);
}

void hugo5379_init_content(void *arg)
{
	struct hugo5379 *page = arg;

	lock(&page->content);
	hugo5379_word_count(page);
	close_chan(page->rendered);
}

void hugo5379_init_plain(void *arg)
{
	struct hugo5379 *page = arg;

	lock(&page->content);
	unlock(&page->content);
}

void hugo5379_renderer(void *arg)
{
	struct hugo5379 *page = arg;

	strand_chan_recv(page->rendered, VERY_SOON, NULL);
	must(strand_once(&page->plain, hugo5379_init_plain, page), "once");
	group_done(&page->renderers);
}

void hugo5379_render_pages(void *instance UNUSED_ARG)
{
	struct hugo5379 page = {.rendered = new_chan(0)};

	group_add(&page.renderers, 2);
	go_and_settle(hugo5379_init_content, &page);
	go_and_settle(hugo5379_renderer, &page);
	go_and_settle(hugo5379_renderer, &page);
	group_wait(&page.renderers);
}

/* Istio 17860: the agent's loop has ended; a later epoch reports how it went. */
struct istio17860 {
	struct strand_chan *status, *context;
};

void istio17860_agent(void *arg)
{
	struct istio17860 agent = *(struct istio17860 *)arg;

	while (select_one(CAN_RECV(agent.status), CAN_RECV(agent.context)) == 0)
		;
}

void istio17860_run_wait(void *status)
{
	send_to(status);
}

void istio17860_test(void *instance UNUSED_ARG)
{
	struct istio17860 agent = {new_chan(0), new_chan(0)};

	go_and_settle(istio17860_agent, &agent);
	close_chan(agent.context);
	settle();
	go(istio17860_run_wait, agent.status);
}

/* Syncthing 4829: clearing holds the lock; the one who is notified reads. */
void syncthing4829_notified(struct strand_rwlock *mapping)
{
	read_lock(mapping);
	read_unlock(mapping);
}

void syncthing4829_clear(void *instance UNUSED_ARG)
{
	struct strand_rwlock mapping = {0};

	write_lock(&mapping);
	syncthing4829_notified(&mapping);
}

const struct corpus_case goker_misc_cases[] = {
	{"hugo/5379", hugo5379_render_pages,
	 .leaks = {{"hugo5379_word_count", "mutex lock", 1},
		   {"hugo5379_init_plain", "mutex lock", 1},
		   {"hugo5379_renderer", "mutex lock", 1},
		   {"hugo5379_render_pages", "waitgroup wait", 1}}},
	{"istio/17860", istio17860_test, .leaks = {{"istio17860_run_wait", "chan send", 1}}},
	{"syncthing/4829", syncthing4829_clear,
	 .leaks = {{"syncthing4829_notified", "rwlock rlock", 1}}},
	{0},
};
