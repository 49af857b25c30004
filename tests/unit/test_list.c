/* SPDX-License-Identifier: MIT */
/* The intrusive list: order, removal anywhere, and back from a node to its structure. */
#include "strand_test.h"

#include "strand/list.h"

struct element {
	int before;
	struct list link;
	int number;
};

/* Both directions say the same numbers. */
static void check(const struct list *head, const int *numbers, size_t count)
{
	const struct list *l = head->next, *back = head->prev;

	assert_int_equal(list_is_empty(head), count == 0);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(list_entry(l, struct element, link)->number, numbers[i]);
		assert_int_equal(list_entry(back, struct element, link)->number,
				 numbers[count - 1 - i]);
		l = l->next;
		back = back->prev;
	}
	assert_ptr_equal(l, head);
	assert_ptr_equal(back, head);
}

static void test_append_and_remove(void **state)
{
	struct element e[4];
	struct list head;

	(void)state;
	list_init(&head);
	check(&head, NULL, 0);
	for (int i = 0; i < 4; i++) {
		e[i].number = i;
		list_append(&head, &e[i].link);
	}
	check(&head, (int[]){0, 1, 2, 3}, 4);
	list_remove(&e[1].link);
	check(&head, (int[]){0, 2, 3}, 3);
	list_remove(&e[0].link);
	check(&head, (int[]){2, 3}, 2);
	list_append(&head, &e[0].link);
	check(&head, (int[]){2, 3, 0}, 3);
	list_remove(&e[0].link);
	list_remove(&e[3].link);
	list_remove(&e[2].link);
	check(&head, NULL, 0);
	list_append(&head, &e[1].link);
	check(&head, (int[]){1}, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
