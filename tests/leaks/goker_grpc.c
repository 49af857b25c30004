/* SPDX-License-Identifier: MIT */
/* Kernels of bugs in gRPC, by the number of the issue or pull request. */
#include "corpus.h"

/* 660: the parent left when it was told to stop; the child tells it that it is done. */
struct grpc660 {
	struct strand_chan *done, *stop;
};

void grpc660_unary(void *done)
{
	send_to(done);
}

void grpc660_close_loop(void *instance UNUSED_ARG)
{
	struct grpc660 client = {new_chan(0), new_chan(0)};

	close_chan(client.stop);
	if (select_one(CAN_RECV(client.done), CAN_RECV(client.stop)) == 1)
		go(grpc660_unary, client.done);
}

/* 862: there is no connection, so nobody closes it, which would have cancelled the context. */
void grpc862_transport(void *context)
{
	recv_from(context);
}

void grpc862_dial(void *instance UNUSED_ARG)
{
	struct strand_chan *outer = new_chan(0), *inner = new_chan(0);

	close_chan(outer);
	go_and_settle(grpc862_transport, inner);
	recv_from(outer);
}

/* 1424: no address ever comes, so nobody says that the first one is there. */
struct grpc1424 {
	struct strand_chan *addresses, *done;
};

void grpc1424_watch(void *arg)
{
	struct grpc1424 watch = *(struct grpc1424 *)arg;

	while (recv_from(watch.addresses) == 0)
		close_chan(watch.done);
}

void grpc1424_dial(void *instance UNUSED_ARG)
{
	struct grpc1424 watch = {new_chan(0), new_chan(0)};

	close_chan(watch.addresses);
	go_and_settle(grpc1424_watch, &watch);
	recv_from(watch.done);
}

/* 1460: keepalive waits to be woken with the lock held that one needs to wake it. */
struct grpc1460 {
	struct strand_mutex mutex;
	struct strand_chan *awaken;
};

void grpc1460_new_stream(void *arg)
{
	struct grpc1460 *transport = arg;

	lock(&transport->mutex);
	send_to(transport->awaken);
	unlock(&transport->mutex);
}

void grpc1460_keepalive(void *instance UNUSED_ARG)
{
	struct grpc1460 transport = {.awaken = new_chan(0)};

	lock(&transport.mutex);
	go(grpc1460_new_stream, &transport);
	recv_from(transport.awaken);
	unlock(&transport.mutex);
}

const struct corpus_case goker_grpc_cases[] = {
	{"grpc/660", grpc660_close_loop, .leaks = {{"grpc660_unary", "chan send", 1}}},
	{"grpc/862", grpc862_dial, .leaks = {{"grpc862_transport", "chan receive", 1}}},
	{"grpc/1424", grpc1424_dial, .leaks = {{"grpc1424_dial", "chan receive", 1}}},
	{"grpc/1460", grpc1460_keepalive,
	 .leaks = {{"grpc1460_keepalive", "chan receive", 1},
		   {"grpc1460_new_stream", "mutex lock", 1}}},
	{0},
};
