/* SPDX-License-Identifier: MIT */
/*
 * Writes profiles as gzipped profile.proto (github.com/google/pprof).
 *
 * P1. Ids of mappings, locations and functions count up from 1 without gaps: Parca insists.
 * P2. Every location has a function, if need be one that is named by its address, and every
 *     mapping says so: readers then look for no symbols, neither here nor on their own disk.
 * P3. A location's address is that of the call and not of the return, so it lies in its line.
 * P4. The first sample type is Go's. The default type is named, as it would be the last one.
 */
#include "view/pprof.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "view/clock.h"
#include "view/escape.h"
#include "view/intern.h"
#include "view/place.h"
#include "view/protobuf.h"

#define PAGE   UINT64_C(4096)
#define SECOND INT64_C(1000000000)

enum profile_field {
	PROFILE_SAMPLE_TYPE = 1,
	PROFILE_SAMPLE = 2,
	PROFILE_MAPPING = 3,
	PROFILE_LOCATION = 4,
	PROFILE_FUNCTION = 5,
	PROFILE_STRING_TABLE = 6,
	PROFILE_TIME_NANOS = 9,
	PROFILE_PERIOD_TYPE = 11,
	PROFILE_PERIOD = 12,
	PROFILE_COMMENT = 13,
	PROFILE_DEFAULT_SAMPLE_TYPE = 14,
};

enum sample_field { SAMPLE_LOCATION_ID = 1, SAMPLE_VALUE = 2, SAMPLE_LABEL = 3 };

enum mapping_field {
	MAPPING_ID = 1,
	MAPPING_START = 2,
	MAPPING_LIMIT = 3,
	MAPPING_OFFSET = 4,
	MAPPING_FILENAME = 5,
	MAPPING_HAS_FUNCTIONS = 7,
	MAPPING_HAS_FILENAMES = 8,
	MAPPING_HAS_LINE_NUMBERS = 9,
};

enum location_field {
	LOCATION_ID = 1,
	LOCATION_MAPPING_ID = 2,
	LOCATION_ADDRESS = 3,
	LOCATION_LINE = 4,
};

enum function_field {
	FUNCTION_ID = 1,
	FUNCTION_NAME = 2,
	FUNCTION_SYSTEM_NAME = 3,
	FUNCTION_FILENAME = 4,
};

/* The part of a mapped file that the profile's addresses lie in. */
struct range {
	uint64_t first, last; /* addresses; first > last: none */
	uint64_t offset;      /* of the first, in the file */
};

struct encoder {
	const struct model *model;
	const struct profile *profile;
	struct protobuf out;
	struct protobuf locations, functions; /* whole fields, to follow */
	struct protobuf message, inner;       /* scratch, empty between messages */
	struct intern_texts texts;
	struct intern_pairs mapping_ids;  /* process, file name */
	struct intern_pairs location_ids; /* process, address */
	struct intern_pairs function_ids; /* name, file name */
	struct range *ranges;             /* by mapping id - 1 */
	size_t range_room;
	bool failed;
};

/* ---- places ------------------------------------------------------------------------ */

static uint64_t escaped(struct encoder *e, const char *text)
{
	char buffer[ESCAPE_ROOM];

	return intern_text(&e->texts, escape_text(text, true, sizeof(buffer), buffer));
}

static uint64_t mapping_of(struct encoder *e, const struct model_process *p, const char *module)
{
	uint64_t name = escaped(e, module ? module : "[unknown]");
	bool is_new;
	uint64_t id = intern_pair(&e->mapping_ids, (uintptr_t)p, name, &is_new);

	if (e->mapping_ids.count > e->range_room) {
		size_t room = e->mapping_ids.room;
		struct range *larger = reallocarray(e->ranges, room, sizeof(*larger));

		if (!larger) {
			e->failed = true;
			return 0;
		}
		e->ranges = larger;
		e->range_room = room;
	}
	if (is_new)
		e->ranges[id - 1] = (struct range){.first = UINT64_MAX};
	return id;
}

static void extend(struct range *r, uint64_t address, uint64_t offset)
{
	if (address < r->first) {
		r->first = address;
		r->offset = offset;
	}
	if (address > r->last)
		r->last = address;
}

static uint64_t function_of(struct encoder *e, const struct model_frame *f)
{
	char name[PLACE_ROOM];
	uint64_t name_id = intern_text(&e->texts, place_function(f, true, name));
	uint64_t file_id = escaped(e, f->file);
	bool is_new;
	uint64_t id = intern_pair(&e->function_ids, name_id, file_id, &is_new);

	if (!is_new)
		return id;
	protobuf_add_number(&e->message, FUNCTION_ID, id);
	protobuf_add_number(&e->message, FUNCTION_NAME, name_id);
	protobuf_add_number(&e->message, FUNCTION_SYSTEM_NAME, name_id);
	protobuf_add_number(&e->message, FUNCTION_FILENAME, file_id);
	protobuf_add_buffer(&e->functions, PROFILE_FUNCTION, &e->message);
	return id;
}

static void add_location(struct encoder *e, const struct model_process *p,
			 const struct model_frame *f, uint64_t id, uint64_t address)
{
	uint64_t function = function_of(e, f);
	uint64_t mapping = mapping_of(e, p, f->module);

	if (e->failed || e->mapping_ids.failed)
		return;
	extend(&e->ranges[mapping - 1], address,
	       f->module && f->module_offset ? f->module_offset - 1 : 0);
	protobuf_add_number(&e->inner, 1, function);
	protobuf_add_number(&e->inner, 2, f->line);
	protobuf_add_number(&e->message, LOCATION_ID, id);
	protobuf_add_number(&e->message, LOCATION_MAPPING_ID, mapping);
	protobuf_add_number(&e->message, LOCATION_ADDRESS, address);
	protobuf_add_buffer(&e->message, LOCATION_LINE, &e->inner);
	protobuf_add_buffer(&e->locations, PROFILE_LOCATION, &e->message);
}

static uint64_t location_of(struct encoder *e, const struct model_process *p,
			    const struct model_frame *f)
{
	uint64_t address = f->pc ? f->pc - 1 : 0; /* P3 */
	bool is_new;
	uint64_t id = intern_pair(&e->location_ids, (uintptr_t)p, address, &is_new);

	if (is_new)
		add_location(e, p, f, id, address);
	return id;
}

/* ---- samples ----------------------------------------------------------------------- */

static void add_label(struct encoder *e, struct protobuf *sample, const char *key,
		      const char *value)
{
	protobuf_add_number(&e->inner, 1, intern_text(&e->texts, key));
	protobuf_add_number(&e->inner, 2, intern_text(&e->texts, value));
	protobuf_add_buffer(sample, SAMPLE_LABEL, &e->inner);
}

static void add_labels(struct encoder *e, struct protobuf *sample, const struct profile_sample *s)
{
	char text[PLACE_ROOM];

	add_label(e, sample, "wait_reason", model_reason_text(s->reason));
	if (s->has_state)
		add_label(e, sample, "state", model_task_state_text(s->state));
	if (s->created_by->pc)
		add_label(e, sample, "created_by", place_line(s->created_by, true, text));
	if (e->profile->has_processes)
		add_label(e, sample, "process", profile_process(s->process, text));
}

/* A task whose stack could not be read is at least somewhere in its function. */
static void add_stack(struct encoder *e, const struct profile_sample *s, struct protobuf *ids)
{
	const struct model_stack *stack = s->stack;

	if (!stack->count)
		protobuf_add_varint(ids, location_of(e, s->process, s->entry));
	for (size_t i = 0; i < stack->count; i++)
		protobuf_add_varint(ids, location_of(e, s->process, &stack->frames[i]));
}

static void add_sample(struct encoder *e, const struct profile_sample *s, struct protobuf *sample,
		       struct protobuf *packed)
{
	add_stack(e, s, packed);
	protobuf_add_buffer(sample, SAMPLE_LOCATION_ID, packed);
	protobuf_add_varint(packed, s->count < INT64_MAX ? s->count : INT64_MAX);
	protobuf_add_varint(packed, (uint64_t)s->waited_ns);
	if (!profile_is_timed(e->profile->kind))
		protobuf_add_varint(packed, s->retained < INT64_MAX ? s->retained : INT64_MAX);
	protobuf_add_buffer(sample, SAMPLE_VALUE, packed);
	add_labels(e, sample, s);
	protobuf_add_buffer(&e->out, PROFILE_SAMPLE, sample);
}

static void add_samples(struct encoder *e)
{
	struct protobuf sample = {0}, packed = {0};

	for (size_t i = 0; i < e->profile->count; i++)
		add_sample(e, &e->profile->samples[i], &sample, &packed);
	protobuf_done(&sample);
	protobuf_done(&packed);
}

/* ---- the whole ----------------------------------------------------------------------- */

static void add_value_type(struct encoder *e, enum profile_field field, const char *type,
			   const char *unit)
{
	protobuf_add_number(&e->message, 1, intern_text(&e->texts, type));
	protobuf_add_number(&e->message, 2, intern_text(&e->texts, unit));
	protobuf_add_buffer(&e->out, field, &e->message);
}

/* As Go's: goroutine profiles count, block and mutex profiles count contentions and their delay. */
static void add_types(struct encoder *e)
{
	bool is_timed = profile_is_timed(e->profile->kind);
	const char *count = is_timed ? "contentions" : profile_name(e->profile->kind);
	const char *time = is_timed ? "delay" : "waited";

	add_value_type(e, PROFILE_SAMPLE_TYPE, count, "count");
	add_value_type(e, PROFILE_SAMPLE_TYPE, time, "nanoseconds");
	if (!is_timed)
		add_value_type(e, PROFILE_SAMPLE_TYPE, "retained", "bytes");
	add_value_type(e, PROFILE_PERIOD_TYPE, count, "count");
	protobuf_add_number(&e->out, PROFILE_PERIOD, 1);
	protobuf_add_number(&e->out, PROFILE_DEFAULT_SAMPLE_TYPE,
			    intern_text(&e->texts, is_timed ? time : count));
	protobuf_add_number(&e->out, PROFILE_TIME_NANOS, (uint64_t)e->model->wall_ns);
}

static void add_comment(struct encoder *e, const char *text)
{
	/* A repeated number: also 0 would have to be written, but no comment is "". */
	protobuf_add_number(&e->out, PROFILE_COMMENT, escaped(e, text));
}

/* An empty profile must not be taken for "no leaks" where nobody could look. */
static void add_comments(struct encoder *e)
{
	const struct model *m = e->model;
	size_t proved = 0;
	int64_t oldest_ns = 0;
	char text[ESCAPE_ROOM], age[CLOCK_ROOM];

	for (size_t i = 0; i < m->process_count; i++) {
		const struct model_search *search = &m->processes[i].search;

		if (!model_search_proved(search))
			continue;
		if (!proved++ || search->finished_ns < oldest_ns)
			oldest_ns = search->finished_ns;
	}
	snprintf(text, sizeof(text), "stranded %s", m->observer_version ? m->observer_version : "");
	add_comment(e, text);
	if (proved)
		snprintf(text, sizeof(text), "leaks: searched %s ago, %zu of %zu processes",
			 clock_short_age(clock_age(m->now_ns, oldest_ns), age), proved,
			 m->process_count);
	add_comment(e, proved ? text : "leaks: unknown, no process has been searched");
	if (!model_complete(m))
		add_comment(e, "incomplete: tasks or stacks may be missing");
}

static void add_mapping(struct encoder *e, uint64_t id)
{
	const struct range *r = &e->ranges[id - 1];
	struct protobuf *b = &e->message;

	protobuf_add_number(b, MAPPING_ID, id);
	if (r->first <= r->last) {
		uint64_t limit = r->last / PAGE * PAGE;
		uint64_t slack = r->first % PAGE;

		protobuf_add_number(b, MAPPING_START, r->first - slack);
		protobuf_add_number(b, MAPPING_LIMIT,
				    limit > UINT64_MAX - PAGE ? UINT64_MAX : limit + PAGE);
		protobuf_add_number(b, MAPPING_OFFSET, r->offset > slack ? r->offset - slack : 0);
	}
	protobuf_add_number(b, MAPPING_FILENAME, e->mapping_ids.pairs[id - 1].b);
	protobuf_add_number(b, MAPPING_HAS_FUNCTIONS, 1);
	protobuf_add_number(b, MAPPING_HAS_FILENAMES, 1);
	protobuf_add_number(b, MAPPING_HAS_LINE_NUMBERS, 1);
	protobuf_add_buffer(&e->out, PROFILE_MAPPING, b);
}

static void add_tables(struct encoder *e)
{
	for (uint64_t id = 1; id <= e->mapping_ids.count && !e->failed; id++)
		add_mapping(e, id);
	protobuf_add_fields(&e->out, &e->locations);
	protobuf_add_fields(&e->out, &e->functions);
	for (size_t i = 0; i < e->texts.count; i++)
		protobuf_add_bytes(&e->out, PROFILE_STRING_TABLE, e->texts.texts[i].text,
				   strlen(e->texts.texts[i].text));
}

/* The first mapping is by convention the program. */
static void add_program(struct encoder *e)
{
	const struct model *m = e->model;

	for (size_t i = 0; i < m->process_count; i++)
		if (m->processes[i].exe)
			mapping_of(e, &m->processes[i], m->processes[i].exe);
}

static int write_gzipped(FILE *out, const struct protobuf *b)
{
	z_stream z = {.next_in = b->data, .avail_in = (uInt)b->size};
	unsigned char *packed;
	size_t room;
	int r = -ENOMEM;

	if (b->size > UINT32_MAX / 2)
		return -ENOMEM;
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	room = deflateBound(&z, b->size);
	packed = malloc(room);
	if (packed) {
		z.next_out = packed;
		z.avail_out = (uInt)room;
		if (deflate(&z, Z_FINISH) == Z_STREAM_END) {
			fwrite(packed, 1, z.total_out, out);
			r = 0;
		}
	}
	free(packed);
	deflateEnd(&z);
	return r;
}

static void encoder_done(struct encoder *e)
{
	protobuf_done(&e->out);
	protobuf_done(&e->locations);
	protobuf_done(&e->functions);
	protobuf_done(&e->message);
	protobuf_done(&e->inner);
	intern_texts_done(&e->texts);
	intern_pairs_done(&e->mapping_ids);
	intern_pairs_done(&e->location_ids);
	intern_pairs_done(&e->function_ids);
	free(e->ranges);
}

int pprof_write(FILE *out, const struct model *m, const struct profile *p)
{
	struct encoder e = {.model = m, .profile = p};
	int r = -ENOMEM;

	add_types(&e);
	add_program(&e);
	add_samples(&e);
	add_comments(&e);
	add_tables(&e);
	if (!e.failed && !e.out.failed && !e.texts.failed && !e.mapping_ids.failed &&
	    !e.location_ids.failed && !e.function_ids.failed && !e.message.failed &&
	    !e.inner.failed)
		r = write_gzipped(out, &e.out);
	encoder_done(&e);
	return r;
}
