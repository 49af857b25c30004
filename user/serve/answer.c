/* SPDX-License-Identifier: MIT */
/* Builds responses. */
#include "serve/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "view/profile.h"

#define BLOCK_SIZE (64 << 10)

struct document_file {
	struct stock *stock;
	int fd;
	uint64_t size;
};

static struct MHD_Response *add_headers(struct MHD_Response *response, const char *content_type)
{
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, content_type);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
	return response;
}

static ssize_t read_document(void *context, uint64_t position, char *ret_bytes, size_t size)
{
	const struct document_file *file = context;
	ssize_t got = pread(file->fd, ret_bytes, size, (off_t)position);

	return got > 0 ? got : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_document(void *context)
{
	struct document_file *file = context;

	file->stock->bytes -= file->size;
	close(file->fd);
	free(file);
}

static struct document_file *take_file(struct stock *stock, int fd)
{
	struct document_file *file;
	struct stat status;

	if (fstat(fd, &status) < 0 || (uint64_t)status.st_size > STOCK_MAX - stock->bytes)
		return NULL;
	file = malloc(sizeof(*file));
	if (!file)
		return NULL;
	*file = (struct document_file){stock, fd, (uint64_t)status.st_size};
	stock->bytes += file->size;
	return file;
}

static void name_file(struct MHD_Response *response, const char *name)
{
	char text[64];

	snprintf(text, sizeof(text), "attachment; filename=\"%s\"", name);
	MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_DISPOSITION, text);
}

struct MHD_Response *answer_document(struct stock *stock, const struct question *q, int document)
{
	struct document_file *file = take_file(stock, document);
	struct MHD_Response *response;

	if (!file) {
		close(document);
		return NULL;
	}
	response = MHD_create_response_from_callback(file->size, BLOCK_SIZE, read_document, file,
						     free_document);
	if (!response) {
		free_document(file);
		return NULL;
	}
	if (q->kind == QUESTION_PROFILE && !q->debug)
		name_file(response, profile_name(q->profile));
	return add_headers(response, question_content_type(q));
}

struct MHD_Response *answer_text(const char *text, const char *content_type)
{
	struct MHD_Response *response =
		MHD_create_response_from_buffer(strlen(text), (void *)text, MHD_RESPMEM_MUST_COPY);

	return response ? add_headers(response, content_type) : NULL;
}

/* The texts are ours: there is nothing in them to escape. */
static struct MHD_Response *refusal_body(const struct refusal *refusal, bool for_profile)
{
	char text[MESSAGE_TEXT_MAX + 32];
	struct MHD_Response *response;

	if (!for_profile) {
		snprintf(text, sizeof(text), "{\"error\": \"%s\"}\n", refusal->text);
		return answer_text(text, "application/json");
	}
	snprintf(text, sizeof(text), "%s\n", refusal->text);
	response = answer_text(text, "text/plain; charset=utf-8");
	if (response)
		MHD_add_response_header(response, "X-Go-Pprof", "1");
	return response;
}

struct MHD_Response *answer_refusal(const struct refusal *refusal, bool for_profile,
				    unsigned retry_after_seconds)
{
	struct MHD_Response *response = refusal_body(refusal, for_profile);
	char seconds[16];

	if (!response)
		return NULL;
	if (refusal->allows)
		MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, refusal->allows);
	if (retry_after_seconds) {
		snprintf(seconds, sizeof(seconds), "%u", retry_after_seconds);
		MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, seconds);
	}
	return response;
}
