/* SPDX-License-Identifier: MIT */
/* Hash tables whose entries keep the order in which they came. */
#include "view/intern.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 64

static uint64_t mix(uint64_t hash, uint64_t value)
{
	hash = (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15);
	return hash ^ hash >> 32;
}

static uint64_t hash_text(const char *text)
{
	uint64_t hash = 0;

	for (; *text; text++)
		hash = mix(hash, (unsigned char)*text);
	return hash;
}

static uint64_t hash_pair(const struct intern_pair *p)
{
	return mix(mix(0, p->a), p->b);
}

/* Room for one more element in an array. */
static bool reserve(void **array, size_t *room, size_t count, size_t element_size)
{
	size_t wanted = *room ? 2 * *room : ROOM_FIRST;
	void *larger;

	if (count < *room)
		return true;
	if (wanted >= UINT32_MAX)
		return false;
	larger = reallocarray(*array, wanted, element_size);
	if (!larger)
		return false;
	*array = larger;
	*room = wanted;
	return true;
}

/* Put a number where its hash leads. There is a free slot. */
static void place(struct intern_slots *index, uint64_t hash, size_t number)
{
	size_t at = hash & (index->count - 1);

	while (index->slots[at])
		at = (at + 1) & (index->count - 1);
	index->slots[at] = (uint32_t)number + 1;
}

/* New slots for entries of which there may be `room`: at most half of them get used. */
static bool renew(struct intern_slots *index, size_t room)
{
	uint32_t *slots = calloc(2 * room, sizeof(*slots));

	if (!slots)
		return false;
	free(index->slots);
	index->slots = slots;
	index->count = 2 * room;
	return true;
}

static bool reserve_text(struct intern_texts *t)
{
	size_t room = t->room;
	void *array = t->texts;

	if (!reserve(&array, &t->room, t->count, sizeof(*t->texts)))
		return false;
	t->texts = array;
	if (t->room == room)
		return true;
	if (!renew(&t->index, t->room))
		return false;
	for (size_t i = 0; i < t->count; i++)
		place(&t->index, t->texts[i].hash, i);
	return true;
}

static uint64_t add_text(struct intern_texts *t, const char *text)
{
	uint64_t hash = hash_text(text);
	size_t at;

	if (t->failed || !reserve_text(t))
		goto failed;
	for (at = hash & (t->index.count - 1); t->index.slots[at];
	     at = (at + 1) & (t->index.count - 1)) {
		const struct intern_text *known = &t->texts[t->index.slots[at] - 1];

		if (known->hash == hash && !strcmp(known->text, text))
			return t->index.slots[at] - 1;
	}
	t->texts[t->count] = (struct intern_text){.text = strdup(text), .hash = hash};
	if (!t->texts[t->count].text)
		goto failed;
	t->index.slots[at] = (uint32_t)++t->count;
	return t->count - 1;
failed:
	t->failed = true;
	return 0;
}

uint64_t intern_text(struct intern_texts *t, const char *text)
{
	if (!t->count)
		add_text(t, "");
	return add_text(t, text);
}

void intern_texts_done(struct intern_texts *t)
{
	for (size_t i = 0; i < t->count; i++)
		free(t->texts[i].text);
	free(t->texts);
	free(t->index.slots);
	memset(t, 0, sizeof(*t));
}

static bool reserve_pair(struct intern_pairs *t)
{
	size_t room = t->room;
	void *array = t->pairs;

	if (!reserve(&array, &t->room, t->count, sizeof(*t->pairs)))
		return false;
	t->pairs = array;
	if (t->room == room)
		return true;
	if (!renew(&t->index, t->room))
		return false;
	for (size_t i = 0; i < t->count; i++)
		place(&t->index, hash_pair(&t->pairs[i]), i);
	return true;
}

uint64_t intern_pair(struct intern_pairs *t, uint64_t a, uint64_t b, bool *ret_new)
{
	const struct intern_pair pair = {a, b};
	size_t at;

	if (ret_new)
		*ret_new = false;
	if (t->failed || !reserve_pair(t)) {
		t->failed = true;
		return 1;
	}
	for (at = hash_pair(&pair) & (t->index.count - 1); t->index.slots[at];
	     at = (at + 1) & (t->index.count - 1)) {
		const struct intern_pair *known = &t->pairs[t->index.slots[at] - 1];

		if (known->a == a && known->b == b)
			return t->index.slots[at];
	}
	t->pairs[t->count++] = pair;
	t->index.slots[at] = (uint32_t)t->count;
	if (ret_new)
		*ret_new = true;
	return t->count;
}

void intern_pairs_done(struct intern_pairs *t)
{
	free(t->pairs);
	free(t->index.slots);
	memset(t, 0, sizeof(*t));
}
