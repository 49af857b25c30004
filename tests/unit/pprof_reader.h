/* SPDX-License-Identifier: MIT */
/* Reads profile.proto for tests and checks what go tool pprof and Parca check. Shares no code with its writer. */
#ifndef TESTS_UNIT_PPROF_READER_H
#define TESTS_UNIT_PPROF_READER_H

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#define READER_SAMPLES 20000
#define READER_TABLE   100000
#define READER_DEPTH   64
#define READER_LABELS  8

struct reader_sample {
	uint64_t location[READER_DEPTH];
	uint64_t value[4];
	struct {
		uint64_t key, str;
	} label[READER_LABELS];
	size_t locations, values, labels;
};

struct reader_location {
	uint64_t mapping, address, function, line;
};

struct reader {
	char *strings[READER_TABLE];
	size_t string_count;
	struct reader_sample *samples;
	size_t sample_count;
	uint64_t types[4][2];
	size_t type_count;
	struct reader_location *locations; /* by id - 1 */
	size_t location_count;
	uint64_t function_name[READER_TABLE], function_file[READER_TABLE];
	size_t function_count;
	struct {
		uint64_t start, limit, file;
	} mappings[READER_TABLE];
	size_t mapping_count;
	uint64_t period_type, period, default_type, time_nanos;
	uint64_t comments[8];
	size_t comment_count;
};

struct reader_bytes {
	const unsigned char *at, *end;
};

static inline uint64_t reader_varint(struct reader_bytes *b)
{
	uint64_t value = 0;

	for (unsigned shift = 0;; shift += 7) {
		assert_true(b->at < b->end && shift < 64);
		value |= (uint64_t)(*b->at & 0x7f) << shift;
		if (!(*b->at++ & 0x80))
			return value;
	}
}

/* The next field: its number, and its value or its bytes. */
static inline unsigned reader_field(struct reader_bytes *b, uint64_t *value,
				    struct reader_bytes *bytes)
{
	uint64_t key = reader_varint(b);

	if ((key & 7) == 0) {
		*value = reader_varint(b);
		*bytes = (struct reader_bytes){0};
	} else {
		uint64_t size;

		assert_int_equal(key & 7, 2);
		size = reader_varint(b);
		assert_true(size <= (uint64_t)(b->end - b->at));
		*bytes = (struct reader_bytes){b->at, b->at + size};
		b->at += size;
		*value = 0;
	}
	return (unsigned)(key >> 3);
}

static inline void reader_pair(struct reader_bytes b, uint64_t *one, uint64_t *two)
{
	struct reader_bytes inner;
	uint64_t value;

	*one = *two = 0;
	while (b.at < b.end) {
		unsigned field = reader_field(&b, &value, &inner);

		assert_true(field == 1 || field == 2);
		*(field == 1 ? one : two) = value;
	}
}

static inline void reader_add_sample(struct reader *r, struct reader_bytes b)
{
	struct reader_sample *s = &r->samples[r->sample_count++];
	struct reader_bytes inner;
	uint64_t value;

	assert_true(r->sample_count <= READER_SAMPLES);
	while (b.at < b.end) {
		switch (reader_field(&b, &value, &inner)) {
		case 1:
			while (inner.at < inner.end && s->locations < READER_DEPTH)
				s->location[s->locations++] = reader_varint(&inner);
			break;
		case 2:
			while (inner.at < inner.end && s->values < 4)
				s->value[s->values++] = reader_varint(&inner);
			break;
		case 3:
			assert_true(s->labels < READER_LABELS);
			reader_pair(inner, &s->label[s->labels].key, &s->label[s->labels].str);
			s->labels++;
			break;
		default:
			fail_msg("unknown field of a sample");
		}
	}
}

static inline void reader_add_location(struct reader *r, struct reader_bytes b)
{
	struct reader_location *l = &r->locations[r->location_count++];
	struct reader_bytes inner;
	uint64_t value;

	while (b.at < b.end) {
		switch (reader_field(&b, &value, &inner)) {
		case 1:
			assert_int_equal(value, r->location_count);
			break;
		case 2:
			l->mapping = value;
			break;
		case 3:
			l->address = value;
			break;
		case 4:
			reader_pair(inner, &l->function, &l->line);
			break;
		default:
			fail_msg("unknown field of a location");
		}
	}
}

static inline void reader_add_mapping(struct reader *r, struct reader_bytes b)
{
	size_t i = r->mapping_count++;
	unsigned has = 0;
	struct reader_bytes inner;
	uint64_t value;

	while (b.at < b.end) {
		unsigned field = reader_field(&b, &value, &inner);

		if (field == 1)
			assert_int_equal(value, r->mapping_count);
		else if (field == 2)
			r->mappings[i].start = value;
		else if (field == 3)
			r->mappings[i].limit = value;
		else if (field == 5)
			r->mappings[i].file = value;
		else if (field >= 7 && field <= 9)
			has |= 1u << field;
	}
	assert_int_equal(has, 7u << 7);
}

static inline void reader_add_function(struct reader *r, struct reader_bytes b)
{
	size_t i = r->function_count++;
	struct reader_bytes inner;
	uint64_t value;

	while (b.at < b.end) {
		unsigned field = reader_field(&b, &value, &inner);

		if (field == 1)
			assert_int_equal(value, r->function_count);
		else if (field == 2)
			r->function_name[i] = value;
		else if (field == 4)
			r->function_file[i] = value;
	}
}

static inline void reader_add(struct reader *r, unsigned field, uint64_t value,
			      struct reader_bytes bytes)
{
	uint64_t ignored;

	switch (field) {
	case 1:
		reader_pair(bytes, &r->types[r->type_count][0], &r->types[r->type_count][1]);
		r->type_count++;
		break;
	case 2:
		reader_add_sample(r, bytes);
		break;
	case 3:
		reader_add_mapping(r, bytes);
		break;
	case 4:
		reader_add_location(r, bytes);
		break;
	case 5:
		reader_add_function(r, bytes);
		break;
	case 6:
		assert_true(r->string_count < READER_TABLE);
		r->strings[r->string_count++] =
			strndup((const char *)bytes.at, (size_t)(bytes.end - bytes.at));
		break;
	case 9:
		r->time_nanos = value;
		break;
	case 11:
		reader_pair(bytes, &r->period_type, &ignored);
		break;
	case 12:
		r->period = value;
		break;
	case 13:
		r->comments[r->comment_count++] = value;
		break;
	case 14:
		r->default_type = value;
		break;
	default:
		fail_msg("unknown field %u", field);
	}
}

/* The union of pprof's CheckValid and Parca's ValidatePprofProfile. */
static inline void reader_check(const struct reader *r)
{
	assert_true(r->string_count > 0);
	assert_string_equal(r->strings[0], "");
	assert_true(r->type_count > 0 && r->period == 1);
	for (size_t i = 0; i < r->sample_count; i++) {
		const struct reader_sample *s = &r->samples[i];

		assert_int_equal(s->values, r->type_count);
		assert_true(s->locations > 0);
		for (size_t j = 0; j < s->locations; j++)
			assert_true(s->location[j] && s->location[j] <= r->location_count);
		for (size_t j = 0; j < s->labels; j++) {
			assert_true(s->label[j].key && s->label[j].key < r->string_count);
			assert_true(s->label[j].str < r->string_count);
			for (size_t k = 0; k < j; k++)
				assert_true(s->label[k].key != s->label[j].key);
		}
	}
	for (size_t i = 0; i < r->location_count; i++) {
		const struct reader_location *l = &r->locations[i];

		assert_true(l->function && l->function <= r->function_count);
		assert_true(l->mapping && l->mapping <= r->mapping_count);
		assert_true(r->mappings[l->mapping - 1].start <= l->address);
		assert_true(r->mappings[l->mapping - 1].limit >= l->address);
	}
	for (size_t i = 0; i < r->function_count; i++)
		assert_true(r->function_name[i] && r->function_name[i] < r->string_count);
}

static inline struct reader *reader_new(const char *packed, size_t size)
{
	struct reader *r = calloc(1, sizeof(*r));
	size_t room = 64 << 20;
	unsigned char *plain = malloc(room);
	z_stream z = {.next_in = (unsigned char *)packed, .avail_in = (unsigned)size};
	struct reader_bytes b, bytes;
	uint64_t value;

	assert_true(r && plain);
	r->samples = calloc(READER_SAMPLES, sizeof(*r->samples));
	r->locations = calloc(READER_TABLE, sizeof(*r->locations));
	assert_true(r->samples && r->locations);
	z.next_out = plain;
	z.avail_out = (unsigned)room;
	assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
	assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
	b = (struct reader_bytes){plain, plain + z.total_out};
	inflateEnd(&z);
	while (b.at < b.end) {
		unsigned field = reader_field(&b, &value, &bytes);

		reader_add(r, field, value, bytes);
	}
	free(plain);
	reader_check(r);
	return r;
}

static inline void reader_free(struct reader *r)
{
	for (size_t i = 0; i < r->string_count; i++)
		free(r->strings[i]);
	free(r->samples);
	free(r->locations);
	free(r);
}

static inline const char *reader_label(const struct reader *r, size_t sample, const char *key)
{
	const struct reader_sample *s = &r->samples[sample];

	for (size_t i = 0; i < s->labels; i++)
		if (!strcmp(r->strings[s->label[i].key], key))
			return r->strings[s->label[i].str];
	return NULL;
}

#endif
