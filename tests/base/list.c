/* SPDX-License-Identifier: MIT */
/* Tests of src/patinox/base/list.h: the list against an array that does the same. */
#include "base/list.h"

#include "support.h"

struct item {
    int number;
    pnx__list link;
};

#define ITEMS 12

/* The list as it should be. */
struct shadow {
    struct item *items[ITEMS];
    size_t count;
};

static void shadow_insert(struct shadow *shadow, size_t at, struct item *item)
{
    memmove(&shadow->items[at + 1], &shadow->items[at],
            (shadow->count - at) * sizeof(struct item *));
    shadow->items[at] = item;
    shadow->count++;
}

static void shadow_remove(struct shadow *shadow, const struct item *item)
{
    for (size_t i = 0; i < shadow->count; i++) {
        if (shadow->items[i] == item) {
            shadow->count--;
            memmove(&shadow->items[i], &shadow->items[i + 1],
                    (shadow->count - i) * sizeof(struct item *));
            return;
        }
    }
}

static void check_same(const pnx__list *head, const struct shadow *shadow)
{
    size_t i = 0;
    assert_int_equal(pnx__list_empty(head), shadow->count == 0);
    const pnx__list *before = head;
    for (const pnx__list *node = head->next; node != head; before = node, node = node->next) {
        assert_true(i < shadow->count);
        assert_ptr_equal(pnx__container_of(node, struct item, link), shadow->items[i]);
        assert_ptr_equal(node->previous, before);
        i++;
    }
    assert_ptr_equal(head->previous, before);
    assert_int_equal(i, shadow->count);
}

static void random_operations_agree_with_an_array(void **state)
{
    pnx__random random = test_random();
    pnx__list heads[2];
    struct item items[ITEMS];
    struct shadow shadows[2] = {{.count = 0}, {.count = 0}};
    int home[ITEMS]; /* the list that an item is in, or -1 */
    pnx__list_init(&heads[0]);
    pnx__list_init(&heads[1]);
    for (int i = 0; i < ITEMS; i++) {
        items[i].number = i;
        pnx__list_init(&items[i].link);
        home[i] = -1;
    }

    for (size_t step = test_effort(20000); step > 0; step--) {
        size_t i = pnx__random_below(&random, ITEMS);
        int which = (int)pnx__random_below(&random, 2);
        struct shadow *shadow = &shadows[which];
        uint64_t operation = pnx__random_below(&random, 16);
        if (operation == 0) {
            struct shadow *other = &shadows[!which];
            pnx__list_append(&heads[which], &heads[!which]);
            for (size_t k = 0; k < other->count; k++) {
                home[other->items[k]->number] = which;
                shadow->items[shadow->count++] = other->items[k];
            }
            other->count = 0;
        } else if (operation < 4) {
            pnx__list *node = pnx__list_pop_front(&heads[which]);
            assert_int_equal(node == NULL, shadow->count == 0);
            if (node) {
                struct item *item = pnx__container_of(node, struct item, link);
                assert_ptr_equal(item, shadow->items[0]);
                assert_true(pnx__list_empty(node));
                shadow_remove(shadow, item);
                home[item->number] = -1;
            }
        } else if (home[i] >= 0 || operation < 6) {
            /* Also of an item that is in no list. */
            pnx__list_remove(&items[i].link);
            if (home[i] >= 0) {
                shadow_remove(&shadows[home[i]], &items[i]);
            }
            home[i] = -1;
        } else if (operation < 11) {
            pnx__list_push_front(&heads[which], &items[i].link);
            shadow_insert(shadow, 0, &items[i]);
            home[i] = which;
        } else {
            pnx__list_push_back(&heads[which], &items[i].link);
            shadow_insert(shadow, shadow->count, &items[i]);
            home[i] = which;
        }
        check_same(&heads[0], &shadows[0]);
        check_same(&heads[1], &shadows[1]);
    }
}

static void foreach_goes_from_front_to_back(void **state)
{
    pnx__list head;
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    pnx__list_init(&head);
    for (int i = 0; i < 3; i++) {
        pnx__list_push_back(&head, &items[i].link);
    }
    int expected = 0;
    pnx__list_foreach(node, &head)
    {
        assert_int_equal(pnx__container_of(node, struct item, link)->number, expected);
        expected++;
    }
    assert_int_equal(expected, 3);
}

static void foreach_safe_survives_removal(void **state)
{
    pnx__list head;
    struct item items[5];
    pnx__list_init(&head);
    for (int i = 0; i < 5; i++) {
        items[i].number = i;
        pnx__list_push_back(&head, &items[i].link);
    }
    int visited = 0;
    pnx__list_foreach_safe(node, &head)
    {
        struct item *item = pnx__container_of(node, struct item, link);
        assert_int_equal(item->number, visited);
        visited++;
        if (item->number % 2 == 0) {
            pnx__list_remove(node);
        }
    }
    assert_int_equal(visited, 5);
    struct shadow odd = {.items = {&items[1], &items[3]}, .count = 2};
    check_same(&head, &odd);
}

static void empty_list_has_nothing_to_visit(void **state)
{
    pnx__list head;
    pnx__list_init(&head);
    pnx__list_foreach(node, &head)
    {
        fail();
    }
    assert_null(pnx__list_pop_front(&head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_operations_agree_with_an_array),
        cmocka_unit_test(foreach_goes_from_front_to_back),
        cmocka_unit_test(foreach_safe_survives_removal),
        cmocka_unit_test(empty_list_has_nothing_to_visit),
    };
    return cmocka_run_group_tests_name("list", tests, NULL, NULL);
}
