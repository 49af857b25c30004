/* SPDX-License-Identifier: MIT */
/* Starts, ends and reaps renderers. */
#include "serve/renderer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/render.h"

#define BUFFER_SIZE      (256 << 10)
#define DOCUMENT_FD      (STDERR_FILENO + 1)
#define STATUS_NOT_FOUND 2

static _Noreturn void become_renderer(const struct model *m, const struct openmetrics_self *self,
				      const struct question *q, const struct confinement *walls,
				      int document)
{
	FILE *out;
	int error;

	confine_inherit("stranded-render", &document, 1);
	if (confine_enter(walls))
		_exit(1);
	out = fdopen(DOCUMENT_FD, "w");
	if (!out || setvbuf(out, NULL, _IOFBF, BUFFER_SIZE))
		_exit(1);
	error = render_document(out, m, self, q);
	if (error)
		_exit(error == -ESRCH ? STATUS_NOT_FOUND : 1);
	_exit(fflush(out) || ferror(out));
}

int renderer_start(const struct model *m, const struct openmetrics_self *self,
		   const struct question *q, const struct confinement *walls,
		   struct renderer *ret_renderer)
{
	struct renderer r = {.document = memfd_create("document", MFD_CLOEXEC | MFD_ALLOW_SEALING)};
	int error;

	if (r.document < 0)
		return -errno;
	r.pid = fork();
	if (r.pid == 0)
		become_renderer(m, self, q, walls, r.document);
	if (r.pid < 0) {
		error = -errno;
		close(r.document);
		return error;
	}
	r.pidfd = (int)syscall(SYS_pidfd_open, r.pid, 0);
	if (r.pidfd < 0) {
		error = -errno;
		renderer_cancel(&r);
		return error;
	}
	*ret_renderer = r;
	return 0;
}

static void forget(struct renderer *r)
{
	if (r->pidfd >= 0)
		close(r->pidfd);
	if (r->document >= 0)
		close(r->document);
	*r = (struct renderer){.pidfd = -1, .document = -1};
}

int renderer_finish(struct renderer *r)
{
	int status = 0, document = -EIO;

	while (waitpid(r->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (WIFEXITED(status) && WEXITSTATUS(status) == STATUS_NOT_FOUND)
		document = -ESRCH;
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGXFSZ)
		document = -EFBIG;
	/* Sealed: what the front serves to many clients does not change under way. */
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0 &&
	    fcntl(r->document, F_ADD_SEALS,
		  F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0) {
		document = r->document;
		r->document = -1;
	}
	forget(r);
	return document;
}

void renderer_cancel(struct renderer *r)
{
	confine_end(r->pid, r->pidfd);
	forget(r);
}
