/* SPDX-License-Identifier: MIT */
/* Runs a command whose programs report their leaks when they end. */
#ifndef STRANDED_CMD_CHECK_RUN_H
#define STRANDED_CMD_CHECK_RUN_H

#include "model/model.h"

struct check_run {
	struct model model; /* a process for each that has reported; to be ended by model_done() */
	int status;         /* of the command, as a shell has it: 128 + N for signal N */
	int64_t duration_ns;
};

/*
 * check_run - run it to its end.
 * @argv       the command, found in PATH
 * @timeout_ns 0: none; else it gets SIGTERM and later SIGKILL, and its status is 124
 * Returns 0, or -errno: the command was not run; what could not be done is in ret_what.
 */
int check_run(char **argv, int64_t timeout_ns, struct check_run *ret_run, const char **ret_what);

#endif
