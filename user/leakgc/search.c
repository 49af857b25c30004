/* SPDX-License-Identifier: MIT */
/*
 * The backward search: who points at the few nodes that are not LIVE?
 *
 * I1. Every byte of scannable memory has an owner: the nodes whose stack, data or
 *     content holds it; nobody, where the runtime masked it; a block of a heap that is
 *     understood; else it is a root. A word that points at a node makes an edge from its owner, or from a root
 *     makes the node LIVE.
 * I2. LIVE only grows. Edges are recorded whether or not their owner is LIVE, so one
 *     pass is complete for its targets: what becomes LIVE later follows them.
 * I3. A node that lies in memory that nobody masked, or inside another node, is
 *     reachable without any stored pointer: by the address in the code, or from
 *     the stack pointer. The first is LIVE, the second an edge from its holder.
 * I4. A pass that cannot read, find memory or finish in time ends the search with a
 *     cause. There is no verdict then: a partial pass proves nothing.
 *
 * I5. A word in a heap block makes the block a node, and a target of the next pass. A
 *     block that no complete pass has looked for counts as held by a root: so the search
 *     may stop following blocks at any moment. Free blocks hold nothing.
 *
 * Words at every fourth byte first, which settles almost all; then, if some task
 * still looks leaked, words at every byte, for packed structures.
 */
#include "leakgc/search.h"

#include <errno.h>

#include "leakgc/answers.h"
#include "leakgc/state.h"
#include "leakgc/syscall.h"

/* After so much processor time the search runs only when nobody else wants to. */
#define YIELD_AFTER_NS 100000000

/* Blocks that hold blocks, so deep. A longer chain counts as held by a root. */
#define PASSES_MAX     16

int leakgc_stop_because(struct leakgc_state *s, enum strand_search_cause cause, uint64_t detail)
{
	if (!s->cause) {
		s->cause = cause;
		s->detail = detail;
	}
	return -ECANCELED;
}

int leakgc_out_of_memory(struct leakgc_state *s)
{
	return leakgc_stop_because(s, STRAND_CAUSE_MEMORY_BUDGET, s->w->limits->memory);
}

/*
 * What setjmp() hides its caller's registers with (sysdeps/x86_64/nptl/tcb-offsets.sym,
 * POINTER_GUARD): the same in all threads. On aarch64 the registers that may hold a pointer of
 * the program are stored as they are, and only the stack's and the return address are hidden.
 */
static uint64_t pointer_guard(void)
{
	uint64_t guard = 0;

#if defined(__GLIBC__) && defined(__x86_64__)
	__asm__("mov %%fs:0x30, %0" : "=r"(guard));
#endif
	return guard;
}

/* ---- the search ------------------------------------------------------------------ */

void leakgc_state_begin(struct leakgc_state *s, const struct leakgc_examination *e)
{
	int64_t now = leakgc_now();

	*s = (struct leakgc_state){
		.e = e,
		.w = e->world,
		.address_mask = (1ULL << 48) - 1,
		.yield_after_ns = e->yield_cpu ? YIELD_AFTER_NS : INT64_MAX,
		.expand_until_ns = now + (e->deadline_ns - now) / 4 * 3,
	};
	if (leakgc_without(s->w, LEAKGC_WITHOUT_TAG_MASK))
		s->address_mask = UINT64_MAX;
	if (!leakgc_without(s->w, LEAKGC_WITHOUT_MANGLED))
		s->pointer_guard = pointer_guard();
}

int leakgc_state_described(struct leakgc_state *s, int r)
{
	bool blocks = leakgc_heap_is_known() || s->w->region_count;

	s->w->wants_blocks = blocks && s->e->memory->kind == LEAKGC_MEMORY_SNAPSHOT;
	if (r == 0)
		r = leakgc_world_seal(s->w);
	if (r == -ENOMEM)
		return leakgc_out_of_memory(s);
	if (r == -EBUSY)
		return leakgc_stop_because(s, STRAND_CAUSE_RUNTIME_BUSY, 0);
	return r < 0 ? leakgc_stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-r) : 0;
}

/* What is still to be looked for counts as found in a root: sound, whatever it is. */
void leakgc_state_give_up(struct leakgc_state *s)
{
	struct leakgc_world *w = s->w;

	if (leakgc_without(w, LEAKGC_WITHOUT_GIVING_UP))
		return;
	for (uint32_t i = 0; i < w->node_count; i++)
		if (leakgc_is_target(w, i))
			leakgc_world_mark_live(w, i, STRAND_ROOT_MEMORY, w->nodes[i].body.lo);
	leakgc_world_propagate(w);
}

/* Passes with one stride until all targets were looked for. */
static int passes(struct leakgc_state *s, size_t stride)
{
	struct leakgc_world *w = s->w;
	int r = 1;

	for (uint32_t i = 0; i < w->node_count; i++)
		w->nodes[i].flags &= (uint8_t)~LEAKGC_NODE_SOUGHT;
	s->may_give_up = s->gave_up = false;
	for (int i = 0; i < PASSES_MAX && r > 0 && w->candidates_open; i++) {
		r = leakgc_scan_pass(s, stride);
		s->may_give_up = true;
	}
	if (s->cause)
		return r;
	if (w->candidates_open)
		leakgc_state_give_up(s);
	return 0;
}

size_t leakgc_state_stride(const struct leakgc_state *s)
{
	return leakgc_without(s->w, LEAKGC_WITHOUT_UNALIGNED) ? 8 : 1;
}

int leakgc_state_search(struct leakgc_state *s)
{
	bool unaligned = leakgc_state_stride(s) == 1;
	int r = 0;

	leakgc_world_propagate(s->w);
	if (s->w->candidates_open)
		r = passes(s, unaligned ? 4 : 8);
	if (r == 0 && unaligned && s->w->candidates_open)
		r = passes(s, 1);
	return r;
}

static int describe(struct leakgc_state *s)
{
	const struct leakgc_examination *e = s->e;
	int r = leakgc_world_begin(s->w);

	if (r == 0)
		r = e->runtime->describe(e->runtime->context, s->w, e->threads, e->thread_count);
	return leakgc_state_described(s, r);
}

static void write_verdicts(struct leakgc_state *s, struct leakgc_findings *f, size_t room)
{
	for (uint32_t i = 0; i < s->w->node_count; i++) {
		const struct leakgc_node_info *info = &s->w->nodes[i];
		bool live =
			info->flags & LEAKGC_NODE_LIVE && !(info->flags & LEAKGC_NODE_UNWAKEABLE);

		f->tasks += !!(info->flags & LEAKGC_NODE_TASK);
		if (!(info->flags & LEAKGC_NODE_CANDIDATE))
			continue;
		if (f->verdict_count == room) {
			leakgc_out_of_memory(s);
			return;
		}
		f->candidates++;
		f->leaked += !live;
		f->verdicts[f->verdict_count++] = (struct leakgc_verdict){
			.task = info->id,
			.generation = info->generation,
			.object_name = info->object_name,
			.verdict = live ? STRAND_VERDICT_LIVE : STRAND_VERDICT_LEAKED,
			.root_kind = live ? info->root_kind : STRAND_ROOT_NONE,
			.root = live ? info->root : 0,
		};
	}
}

void leakgc_state_report(struct leakgc_state *s, int r, struct leakgc_findings *f, size_t room)
{
	if (r == 0)
		write_verdicts(s, f, room);
	else if (!s->cause) /* never: but a search that was cut short must not look complete */
		leakgc_stop_because(s, STRAND_CAUSE_SYSTEM, (uint64_t)-r);
	if (s->cause) {
		f->leaked = 0;
		f->verdict_count = 0;
	} else if (f->verdict_count) {
		leakgc_answer(s, f, room);
	}
	f->scanned_bytes = s->scanned_bytes;
	f->cause = s->cause;
	f->cause_detail = s->detail;
	f->complete = LEAKGC_FINDINGS_COMPLETE;
}

void leakgc_examine(const struct leakgc_examination *e, struct leakgc_findings *ret_findings,
		    size_t room)
{
	struct leakgc_state s;
	int r = leakgc_memory_open(e->memory);

	leakgc_state_begin(&s, e);
	if (r < 0)
		r = leakgc_stop_because(&s, STRAND_CAUSE_SYSTEM, (uint64_t)-r);
	if (r == 0)
		r = describe(&s);
	if (r == 0)
		r = leakgc_place(&s);
	if (r == 0)
		r = leakgc_state_search(&s);
	leakgc_state_report(&s, r, ret_findings, room);
	leakgc_memory_close(e->memory);
}
