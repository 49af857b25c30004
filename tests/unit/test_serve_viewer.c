/* SPDX-License-Identifier: MIT */
/* Who may see what, which hosts are ours, and where the daemon may listen. */
#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/listen.h"
#include "serve/render.h"
#include "serve/viewer.h"

#define TRUSTED 77

static void test_peers(void **state)
{
	const gid_t groups[] = {5, TRUSTED, 9};

	(void)state;
	assert_true(viewer_of_peer(0, 0, NULL, 0, TRUSTED).sees_all);
	assert_true(viewer_of_peer(1000, TRUSTED, NULL, 0, TRUSTED).sees_all);
	assert_true(viewer_of_peer(1000, 1000, groups, 3, TRUSTED).sees_all);
	assert_false(viewer_of_peer(1000, 1000, groups, 1, TRUSTED).sees_all);
	assert_false(viewer_of_peer(1000, 0, NULL, 0, TRUSTED).sees_all);
	assert_int_equal(viewer_of_peer(1000, 1000, NULL, 0, TRUSTED).uid, 1000);
	assert_false(viewer_of_tcp().may_change);
}

static void test_socket_peer(void **state)
{
	struct viewer v;
	int sockets[2];

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	assert_int_equal(viewer_of_socket(sockets[0], TRUSTED, &v), 0);
	assert_int_equal(v.uid, geteuid());
	assert_true(v.may_change);
	close(sockets[0]);
	close(sockets[1]);
	assert_int_not_equal(viewer_of_socket(-1, TRUSTED, &v), 0);
}

static void test_hosts(void **state)
{
	(void)state;
	assert_true(viewer_host_allowed("localhost:9476", 9476));
	assert_true(viewer_host_allowed("LocalHost:9476", 9476));
	assert_true(viewer_host_allowed("127.0.0.1:9476", 9476));
	assert_true(viewer_host_allowed("[::1]:9476", 9476));
	assert_false(viewer_host_allowed(NULL, 9476));
	assert_false(viewer_host_allowed("", 9476));
	assert_false(viewer_host_allowed("localhost", 9476));
	assert_false(viewer_host_allowed("localhost:947", 9476));
	assert_false(viewer_host_allowed("localhost:94760", 9476));
	assert_false(viewer_host_allowed("localhost.evil.example:9476", 9476));
	assert_false(viewer_host_allowed("evil.example:9476", 9476));
}

static void test_addresses(void **state)
{
	struct listen_address a;

	(void)state;
	assert_int_equal(listen_parse("127.0.0.1:9476", &a), 0);
	assert_int_equal(a.port, 9476);
	assert_int_equal(listen_parse("localhost:1", &a), 0);
	assert_int_equal(listen_parse("[::1]:65535", &a), 0);
	assert_int_equal(a.storage.ss_family, AF_INET6);
	assert_int_equal(listen_parse("0.0.0.0:9476", &a), -EACCES);
	assert_int_equal(listen_parse("192.168.1.1:9476", &a), -EACCES);
	assert_int_equal(listen_parse("[::]:9476", &a), -EACCES);
	assert_int_equal(listen_parse(":9476", &a), -EINVAL);
	assert_int_equal(listen_parse("127.0.0.1", &a), -EINVAL);
	assert_int_equal(listen_parse("127.0.0.1:0", &a), -EINVAL);
	assert_int_equal(listen_parse("127.0.0.1:65536", &a), -EINVAL);
	assert_int_equal(listen_parse("127.0.0.1: 80", &a), -EINVAL);
	assert_int_equal(listen_parse("[:1", &a), -EINVAL);
	assert_int_equal(listen_parse("[]:1", &a), -EINVAL);
	assert_int_equal(listen_parse("", &a), -EINVAL);
}

/* Three processes: of users 0, 1000 and 1000. */
static void build_model(struct model *m)
{
	struct model_process *p;

	model_init(m);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(model_add_process(m, &p), 0);
		p->pid = 10 + i;
		p->start_ticks = 7;
		p->uid = i ? 1000 : 0;
	}
	model_sort(m);
}

static size_t selected(const struct model *m, struct question q)
{
	struct model part;
	size_t count;

	assert_int_equal(render_select(m, &q, &part), 0);
	count = part.process_count;
	for (size_t i = 0; i < count; i++)
		assert_true(q.sees_all || part.processes[i].uid == q.uid);
	render_unselect(&part);
	return count;
}

static void test_selection(void **state)
{
	struct model m;

	(void)state;
	build_model(&m);
	assert_int_equal(selected(&m, (struct question){.sees_all = 1}), 3);
	assert_int_equal(selected(&m, (struct question){.uid = 1000}), 2);
	assert_int_equal(selected(&m, (struct question){.uid = 1001}), 0);
	assert_int_equal(selected(&m, (struct question){.uid = 1000, .pid = 10}), 0);
	assert_int_equal(selected(&m, (struct question){.uid = 1000, .pid = 11}), 1);
	assert_int_equal(selected(&m, (struct question){.sees_all = 1, .pid = 10, .start = 7}), 1);
	assert_int_equal(selected(&m, (struct question){.sees_all = 1, .pid = 10, .start = 8}), 0);
	model_done(&m);
}

/* A front that was broken into may ask anything: what makes no sense stops here. */
static void test_validity(void **state)
{
	(void)state;
	assert_true(question_valid(&(struct question){.kind = QUESTION_LEAKS}));
	assert_false(question_valid(&(struct question){.kind = QUESTION_KINDS}));
	assert_false(question_valid(&(struct question){.sees_all = 2}));
	assert_false(question_valid(&(struct question){.pid = -1}));
	assert_false(question_valid(&(struct question){.profile = 99}));
	assert_false(question_valid(&(struct question){.debug = 3}));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_peers),     cmocka_unit_test(test_socket_peer),
		cmocka_unit_test(test_hosts),     cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_selection), cmocka_unit_test(test_validity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
