/* SPDX-License-Identifier: MIT */
/* Reads and writes baselines, and reads what to ignore. */
#include "cmd/known_leaks.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/replace.h"

typedef bool (*matcher)(const struct finding *f, const char *word);

static bool has_fingerprint(const struct finding *f, const char *word)
{
	return !strcmp(f->fingerprint, word);
}

static void mark(struct findings *f, const char *word, matcher matches, enum finding_kind kind)
{
	for (size_t i = 0; i < f->count; i++)
		if (matches(&f->findings[i], word))
			f->findings[i].kind = kind;
}

/* The first word of each line, up to a comment. */
static int each_word(const char *path, struct findings *f, matcher matches, enum finding_kind kind)
{
	FILE *file = fopen(path, "re");
	char *line = NULL;
	size_t room = 0;
	int r;

	if (!file)
		return -errno;
	while (errno = 0, getline(&line, &room, file) >= 0) {
		char *word = line + strspn(line, " \t");

		word[strcspn(word, " \t\r\n#")] = '\0';
		if (*word)
			mark(f, word, matches, kind);
	}
	r = ferror(file) ? -errno : 0;
	free(line);
	fclose(file);
	findings_count(f);
	return r;
}

int known_leaks_apply_baseline(const char *path, struct findings *f)
{
	return each_word(path, f, has_fingerprint, FINDING_KNOWN);
}

int known_leaks_apply_ignored(const char *path, struct findings *f)
{
	return each_word(path, f, finding_matches, FINDING_IGNORED);
}

int known_leaks_write(const char *path, const struct findings *f)
{
	struct replacement file;
	char title[FINDING_ROOM];
	int r = replace_begin(&file, path);

	if (r)
		return r;
	fputs("# Known leaks, for stranded check --baseline. The first word of a line counts.\n",
	      file.stream);
	for (size_t i = 0; i < f->count; i++)
		if (f->findings[i].kind != FINDING_IGNORED)
			fprintf(file.stream, "%s  # %zu: %s\n", f->findings[i].fingerprint,
				f->findings[i].tasks, finding_title(&f->findings[i], title));
	return replace_finish(&file);
}
