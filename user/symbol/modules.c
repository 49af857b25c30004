/* SPDX-License-Identifier: MIT */
/*
 * Which binaries are known, who uses them, and which ones are not to be read again.
 */
#include "symbol/modules.h"

#include <stdlib.h>
#include <string.h>

void modules_done(struct modules *m)
{
	for (uint32_t i = 0; i < m->room; i++)
		free(m->slots[i]);
	free(m->slots);
}

static uint32_t free_slot(struct modules *m)
{
	uint32_t room = m->room ? 2 * m->room : 32;
	struct module **slots;

	for (uint32_t i = 0; i < m->room; i++)
		if (!m->slots[i])
			return i;
	if (room > ENGINE_IDS_MAX)
		return ENGINE_NO_MODULE;
	slots = reallocarray(m->slots, room, sizeof(struct module *));
	if (!slots)
		return ENGINE_NO_MODULE;
	memset(slots + m->room, 0, (room - m->room) * sizeof(struct module *));
	m->slots = slots;
	m->room = room;
	return room / 2 < 32 ? 0 : room / 2;
}

static bool same(const struct fetch_identity *a, const struct fetch_identity *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->mtime_ns == b->mtime_ns &&
	       a->size == b->size;
}

struct module *modules_acquire(struct modules *m, const struct fetch_identity *identity)
{
	struct module *module;
	uint32_t id;

	for (uint32_t i = 0; i < m->room; i++) {
		if (m->slots[i] && same(&m->slots[i]->identity, identity)) {
			m->slots[i]->users++;
			return m->slots[i];
		}
	}
	id = free_slot(m);
	module = id != ENGINE_NO_MODULE ? calloc(1, sizeof(*module)) : NULL;
	if (!module)
		return NULL;
	module->identity = *identity;
	module->id = id;
	module->number = ++m->numbers;
	module->users = 1;
	m->slots[id] = module;
	return module;
}

void modules_release(struct modules *m, struct sandbox *sandbox, struct module *module)
{
	struct module *oldest = NULL;
	unsigned idle = 0;

	if (--module->users > 0)
		return;
	module->released = ++m->releases;
	for (uint32_t i = 0; i < m->room; i++) {
		struct module *other = m->slots[i];

		if (!other || other->users > 0)
			continue;
		idle++;
		if (!oldest || other->released < oldest->released)
			oldest = other;
	}
	if (idle <= MODULES_IDLE_MAX)
		return;
	if (oldest->generation == sandbox->generation)
		sandbox_close_module(sandbox, oldest->id);
	m->slots[oldest->id] = NULL;
	free(oldest);
}

bool module_is_wanted(const struct module *module, const struct sandbox *sandbox)
{
	return module->generation != sandbox->generation && module->strikes < MODULES_STRIKES_MAX;
}

bool module_is_open(const struct module *module, const struct sandbox *sandbox)
{
	return module->generation == sandbox->generation && module->error == 0;
}

void modules_strike(struct modules *m, uint32_t id)
{
	if (id < m->room && m->slots[id])
		m->slots[id]->strikes++;
}
