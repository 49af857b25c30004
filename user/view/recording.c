/* SPDX-License-Identifier: MIT */
/*
 * Writes models to files and reads them back.
 *
 * R1. One function a structure goes both ways, so what is written is what is read.
 * R2. Numbers are varints of at most 10 bytes; texts and lists are preceded by their length.
 *     A list grows as its elements are read, never by its length alone: memory is bounded by
 *     the bytes that are there.
 * R3. Once something is wrong, every further step does nothing and leaves zeroes.
 */
#include "view/recording.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static const char magic[8] = {'S', 'T', 'R', 'N', 'D', 'R', 'C', 1};

#define UNPACKED_MAX (1u << 30)
#define FRAMES_MAX   1024
#define LINKS_MAX    4096
#define PACK_LEVEL   1

struct codec {
	bool writing;
	int error;
	uint8_t *bytes; /* written, or borrowed */
	size_t size, room, at;
};

/* ---- numbers and texts -------------------------------------------------------- */

static void put(struct codec *c, const void *bytes, size_t size)
{
	size_t room = c->room ? c->room : 4096;
	uint8_t *more;

	while (room - c->size < size)
		room *= 2;
	if (room != c->room) {
		more = realloc(c->bytes, room);
		if (!more) {
			c->error = -ENOMEM;
			return;
		}
		c->bytes = more;
		c->room = room;
	}
	memcpy(c->bytes + c->size, bytes, size);
	c->size += size;
}

static void write_number(struct codec *c, uint64_t value)
{
	uint8_t bytes[10];
	size_t count = 0;

	for (; value >= 0x80; value >>= 7)
		bytes[count++] = (uint8_t)(value | 0x80);
	bytes[count++] = (uint8_t)value;
	put(c, bytes, count);
}

static uint64_t read_number(struct codec *c)
{
	uint64_t value = 0;

	for (unsigned shift = 0; !c->error && c->at < c->size && shift < 64; shift += 7) {
		uint8_t byte = c->bytes[c->at++];

		value |= (uint64_t)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return value;
	}
	c->error = c->error ? c->error : -EBADMSG;
	return 0;
}

static void code_u64(struct codec *c, uint64_t *value)
{
	if (c->error)
		return;
	if (c->writing)
		write_number(c, *value);
	else
		*value = read_number(c);
}

/* Small negative numbers are small, too. */
static void code_i64(struct codec *c, int64_t *value)
{
	uint64_t folded = (uint64_t)*value << 1 ^ (uint64_t)(*value >> 63);

	code_u64(c, &folded);
	*value = (int64_t)(folded >> 1 ^ -(folded & 1));
}

/* A number from 0 to `largest`. */
static uint64_t code_bounded(struct codec *c, uint64_t value, uint64_t largest)
{
	code_u64(c, &value);
	if (!c->error && value > largest)
		c->error = -EBADMSG;
	return c->error ? 0 : value;
}

#define CODE_ENUM(c, field, largest) \
	((field) = (__typeof__(field))code_bounded(c, (uint64_t)(field), largest))
#define CODE_BOOL(c, field) CODE_ENUM(c, field, 1)

/* 0: NULL, otherwise the length plus one. */
static void code_text(struct codec *c, char **text)
{
	uint64_t length = c->writing && *text ? strlen(*text) + 1 : 0;

	code_u64(c, &length);
	if (c->error || !length)
		return;
	length--;
	if (c->writing) {
		put(c, *text, length);
		return;
	}
	if (length > c->size - c->at || memchr(c->bytes + c->at, 0, length)) {
		c->error = -EBADMSG;
		return;
	}
	*text = strndup((const char *)c->bytes + c->at, length);
	c->error = *text ? 0 : -ENOMEM;
	c->at += length;
}

/* ---- parts of the model --------------------------------------------------------- */

static void code_frame(struct codec *c, struct model_frame *f)
{
	code_u64(c, &f->pc);
	code_text(c, &f->function);
	code_text(c, &f->file);
	CODE_ENUM(c, f->line, UINT_MAX);
	code_u64(c, &f->function_offset);
	code_text(c, &f->module);
	code_u64(c, &f->module_offset);
}

static void code_stack(struct codec *c, struct model_stack *s)
{
	size_t count = code_bounded(c, s->count, FRAMES_MAX);

	CODE_BOOL(c, s->truncated);
	if (!c->writing && !c->error && count) {
		s->frames = calloc(count, sizeof(*s->frames));
		c->error = s->frames ? 0 : -ENOMEM;
		s->count = 0;
	}
	for (size_t i = 0; i < count && !c->error; i++) {
		code_frame(c, &s->frames[i]);
		if (!c->writing)
			s->count++;
	}
}

static void code_links(struct codec *c, struct model_task *t)
{
	size_t count = code_bounded(c, t->link_count, LINKS_MAX);

	if (!c->writing && !c->error && count) {
		t->links = calloc(count, sizeof(*t->links));
		c->error = t->links ? 0 : -ENOMEM;
		t->link_count = c->error ? 0 : count;
	}
	for (size_t i = 0; i < count && !c->error; i++) {
		CODE_ENUM(c, t->links[i].kind, STRAND_LINK_BLOCK);
		code_u64(c, &t->links[i].value);
		code_u64(c, &t->links[i].size);
	}
}

static void code_task(struct codec *c, struct model_task *t)
{
	code_u64(c, &t->id);
	code_u64(c, &t->generation);
	code_u64(c, &t->parent);
	code_text(c, &t->name);
	CODE_ENUM(c, t->reason, STRAND_WAIT_REASON_COUNT);
	CODE_BOOL(c, t->has_deadline);
	code_u64(c, &t->object);
	code_i64(c, &t->since_ns);
	CODE_ENUM(c, t->state, MODEL_TASK_STATES - 1);
	CODE_ENUM(c, t->suspect_rules, (1u << MODEL_SUSPECT_RULES) - 1);
	code_u64(c, &t->stands_for);
	CODE_ENUM(c, t->verdict, STRAND_VERDICT_LIVE);
	CODE_ENUM(c, t->root_kind, STRAND_ROOT_RUNTIME);
	code_u64(c, &t->root);
	code_frame(c, &t->root_at);
	code_text(c, &t->root_place);
	CODE_ENUM(c, t->why, STRAND_LEAK_WHY_COUNT - 1);
	code_links(c, t);
	code_u64(c, &t->retained);
	code_stack(c, &t->stack);
	code_frame(c, &t->created_by);
	code_frame(c, &t->entry);
}

static void code_wait(struct codec *c, struct model_wait *w)
{
	code_u64(c, &w->fingerprint);
	CODE_ENUM(c, w->reason, STRAND_WAIT_REASON_COUNT);
	code_stack(c, &w->stack);
	code_frame(c, &w->created_by);
	code_frame(c, &w->entry);
	code_u64(c, &w->waiting);
	code_i64(c, &w->oldest_since_ns);
	code_i64(c, &w->waiting_ns);
	code_u64(c, &w->ended);
	code_i64(c, &w->ended_ns);
	for (size_t i = 0; i < MODEL_WAIT_SLOTS; i++)
		code_u64(c, &w->slots[i]);
}

static void code_past(struct codec *c, struct model_past *p)
{
	code_u64(c, &p->fingerprint);
	code_i64(c, &p->first_seen_ns);
	code_i64(c, &p->last_seen_ns);
	CODE_ENUM(c, p->searches_seen, UINT_MAX);
	code_u64(c, &p->retracted);
}

static void code_search(struct codec *c, struct model_search *s)
{
	CODE_BOOL(c, s->asked);
	CODE_BOOL(c, s->answered);
	CODE_ENUM(c, s->status, STRAND_SEARCH_REFUSED);
	CODE_ENUM(c, s->cause, UINT_MAX);
	code_u64(c, &s->cause_detail);
	code_i64(c, &s->finished_ns);
	code_i64(c, &s->stopped_ns);
	code_i64(c, &s->pause_ns);
	code_i64(c, &s->total_ns);
	code_u64(c, &s->scanned_bytes);
	code_u64(c, &s->candidates);
	code_u64(c, &s->leaked);
	code_u64(c, &s->retained_stacks);
	code_u64(c, &s->retained_objects);
	code_u64(c, &s->retained_blocks);
	code_text(c, &s->error);
}

static void code_losses(struct codec *c, struct model_losses *l)
{
	code_u64(c, &l->map_full);
	code_u64(c, &l->ring_full);
	code_u64(c, &l->bad_record);
	code_u64(c, &l->unread);
}

static void code_counts(struct codec *c, struct model_counts *n)
{
	CODE_BOOL(c, n->known);
	for (size_t i = 0; i < MODEL_TASK_STATES; i++) {
		code_u64(c, &n->tasks[i]);
		code_i64(c, &n->oldest_since_ns[i]);
	}
	code_u64(c, &n->retained_bytes);
}

/* ---- lists ------------------------------------------------------------------------ */

/* Each element takes a byte at least: no list is longer than what is left. */
#define CODE_LIST(c, array, count, add, code)                                          \
	do {                                                                           \
		uint64_t left = code_bounded(c, count, UINT32_MAX);                    \
                                                                                       \
		for (size_t i = 0; left-- && !(c)->error; i++) {                       \
			__typeof__(array) element = (c)->writing ? &(array)[i] : NULL; \
                                                                                       \
			if (!element)                                                  \
				(c)->error = add;                                      \
			if (!(c)->error)                                               \
				code(c, element);                                      \
		}                                                                      \
	} while (0)

static void code_process(struct codec *c, struct model_process *p)
{
	CODE_ENUM(c, p->pid, INT_MAX);
	code_u64(c, &p->start_ticks);
	CODE_ENUM(c, p->uid, UINT_MAX);
	code_text(c, &p->command);
	code_text(c, &p->exe);
	code_text(c, &p->cgroup);
	code_text(c, &p->runtime);
	CODE_ENUM(c, p->abi_major, UINT_MAX);
	CODE_ENUM(c, p->abi_minor, UINT_MAX);
	CODE_BOOL(c, p->is_static);
	CODE_ENUM(c, p->status, MODEL_EXITED);
	code_text(c, &p->status_text);
	code_u64(c, &p->tasks_spawned);
	code_u64(c, &p->tasks_exited);
	code_search(c, &p->search);
	code_losses(c, &p->losses);
	code_counts(c, &p->counts);
	CODE_LIST(c, p->waits, p->wait_count, model_add_wait(p, &element), code_wait);
	CODE_LIST(c, p->pasts, p->past_count, model_add_past(p, &element), code_past);
	CODE_LIST(c, p->tasks, p->task_count, model_add_task(p, &element), code_task);
}

static void code_totals(struct codec *c, struct model_search_totals *t)
{
	for (size_t i = 0; i < MODEL_SEARCH_RESULTS; i++) {
		code_u64(c, &t->count[i]);
		code_i64(c, &t->total_ns[i]);
		code_i64(c, &t->pause_ns[i]);
	}
}

static void code_model(struct codec *c, struct model *m, char **version)
{
	code_text(c, version);
	code_text(c, &m->host);
	code_i64(c, &m->wall_ns);
	code_i64(c, &m->now_ns);
	code_losses(c, &m->losses);
	code_totals(c, &m->searches);
	CODE_LIST(c, m->processes, m->process_count, model_add_process(m, &element), code_process);
}

/* ---- snapshots ---------------------------------------------------------------------- */

int recording_encode(const struct model *m, void **ret_bytes, size_t *ret_size)
{
	struct codec c = {.writing = true};
	char *version = (char *)m->observer_version;

	/* Not const, because the same code reads; writing changes nothing. R1 */
	code_model(&c, (struct model *)m, &version);
	if (!c.error && c.size > UNPACKED_MAX)
		c.error = -EFBIG;
	if (c.error) {
		free(c.bytes);
		return c.error;
	}
	*ret_bytes = c.bytes;
	*ret_size = c.size;
	return 0;
}

/* Views take these two for granted. */
static bool is_named(const struct model *m)
{
	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_process *p = &m->processes[i];

		if (!p->command)
			return false;
		for (size_t j = 0; j < p->task_count; j++)
			if (!p->tasks[j].name)
				return false;
	}
	return m->host;
}

int recording_decode(struct recording *r, const void *bytes, size_t size, struct model *ret_model)
{
	struct codec c = {.bytes = (uint8_t *)bytes, .size = size};
	char *version = NULL;
	struct model m;

	model_init(&m);
	code_model(&c, &m, &version);
	if (!c.error && (c.at != size || !is_named(&m)))
		c.error = -EBADMSG;
	snprintf(r->version, sizeof(r->version), "%s", version ? version : "");
	free(version);
	if (c.error) {
		model_done(&m);
		return c.error;
	}
	m.observer_version = r->version;
	model_sort(&m);
	*ret_model = m;
	return 0;
}

/* ---- files ---------------------------------------------------------------------------- */

static void put_u32(uint8_t bytes[4], uint32_t value)
{
	for (unsigned i = 0; i < 4; i++)
		bytes[i] = (uint8_t)(value >> 8 * i);
}

static uint32_t get_u32(const uint8_t bytes[4])
{
	return bytes[0] | bytes[1] << 8 | bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

void recording_begin(FILE *out)
{
	fwrite(magic, sizeof(magic), 1, out);
}

int recording_write(FILE *out, const struct model *m)
{
	uint8_t sizes[8];
	size_t size = 0;
	uLongf packed_size;
	void *bytes = NULL, *packed;
	int error = recording_encode(m, &bytes, &size);

	if (error)
		return error;
	packed_size = compressBound(size);
	packed = malloc(packed_size);
	if (!packed || compress2(packed, &packed_size, bytes, size, PACK_LEVEL) != Z_OK) {
		error = -ENOMEM;
	} else {
		put_u32(sizes, (uint32_t)size);
		put_u32(sizes + 4, (uint32_t)packed_size);
		fwrite(sizes, sizeof(sizes), 1, out);
		fwrite(packed, packed_size, 1, out);
	}
	free(packed);
	free(bytes);
	return error;
}

int recording_open(struct recording *r, FILE *in)
{
	char begin[sizeof(magic)];

	*r = (struct recording){.in = in};
	if (fread(begin, sizeof(begin), 1, in) != 1)
		return ferror(in) ? -EIO : -EBADMSG;
	if (memcmp(begin, magic, sizeof(magic) - 1) != 0)
		return -EBADMSG;
	return begin[7] == magic[7] ? 0 : -EPROTONOSUPPORT;
}

/* zlib makes at most 1032 bytes of one: a larger claim is a lie, and no memory is given to it. */
static bool sizes_valid(uint32_t size, uint32_t packed_size)
{
	return size && size <= UNPACKED_MAX && packed_size && packed_size <= compressBound(size) &&
	       size / 1032 <= packed_size;
}

static int unpack(struct recording *r, uint32_t size, uint32_t packed_size, void *bytes)
{
	void *packed = malloc(packed_size);
	uLongf unpacked = size;
	int error = packed ? 0 : -ENOMEM;

	if (!error && fread(packed, packed_size, 1, r->in) != 1)
		error = ferror(r->in) ? -EIO : -EBADMSG;
	if (!error &&
	    (uncompress(bytes, &unpacked, packed, packed_size) != Z_OK || unpacked != size))
		error = -EBADMSG;
	free(packed);
	return error;
}

int recording_read(struct recording *r, struct model *ret_model)
{
	uint32_t size, packed_size;
	uint8_t sizes[8];
	size_t got = fread(sizes, 1, sizeof(sizes), r->in);
	void *bytes;
	int error;

	if (got == 0 && feof(r->in))
		return 0;
	if (got != sizeof(sizes))
		return ferror(r->in) ? -EIO : -EBADMSG;
	size = get_u32(sizes);
	packed_size = get_u32(sizes + 4);
	if (!sizes_valid(size, packed_size))
		return -EBADMSG;
	bytes = malloc(size);
	error = bytes ? unpack(r, size, packed_size, bytes) : -ENOMEM;
	if (!error)
		error = recording_decode(r, bytes, size, ret_model);
	free(bytes);
	return error ? error : 1;
}
