/* The table against a list that is searched from its beginning. */
#include "input.h"
#include "kernel.h"
#include "table.h"

#include <string.h>

#define MODEL 512

struct pair {
    struct dp_key key;
    void *value;
};

static struct pair model[MODEL];
static size_t model_used;

static struct pair *in_model(const struct dp_key *key) {
    for (size_t at = 0; at < model_used; at++)
        if (!memcmp(&model[at].key, key, sizeof *key)) return &model[at];
    return NULL;
}

/* Few different ones, so that they meet again; of all kinds. */
static struct dp_key key_from(struct input *input) {
    union dp_addr addr;
    uint8_t shape = take_u8(input);
    uint8_t number = take_u8(input);
    uint64_t space = shape >> 6;
    memset(&addr, 0xA5, sizeof addr);
    if (shape % 4 == 0) return dp_number_key(space, number);
    if (shape & 1) {
        addr.in.sin_family = AF_INET;
        addr.in.sin_addr.s_addr = htonl(0x7F000000U | number);
    } else {
        addr.in6.sin6_family = AF_INET6;
        memset(&addr.in6.sin6_addr, 0, 16);
        addr.in6.sin6_addr.s6_addr[0] = shape & 16 ? 0xFE : 0x20;
        addr.in6.sin6_addr.s6_addr[1] = shape & 16 ? 0x80 : 0x01;
        addr.in6.sin6_addr.s6_addr[15] = number;
        addr.in6.sin6_scope_id = shape & 32 ? 3 : 4;
    }
    addr.in.sin_port = htons((uint16_t)(shape & 8 ? 3478 : 3479));
    return shape & 4 ? dp_host_key(space, &addr) : dp_key(space, &addr);
}

static void put(struct dp_table *table, const struct dp_key *key, uint8_t value) {
    static uint8_t values[256];
    struct pair *known = in_model(key);
    if (!known && model_used == MODEL) return;
    if (!known) {
        known = &model[model_used++];
        known->key = *key;
    }
    known->value = &values[value];
    REQUIRE(dp_table_put(table, key, known->value));
}

static void take(struct dp_table *table, const struct dp_key *key) {
    struct pair *known = in_model(key);
    void *taken = dp_table_take(table, key);
    REQUIRE(taken == (known ? known->value : NULL));
    if (known) *known = model[--model_used];
}

static void compare_all(const struct dp_table *table) {
    REQUIRE(table->used == model_used);
    REQUIRE(!table->size || table->used * 3 <= table->size * 2);
    for (size_t at = 0; at < model_used; at++)
        REQUIRE(dp_table_get(table, &model[at].key) == model[at].value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    struct dp_table table;
    model_used = 0;
    REQUIRE(dp_table_init(&table));
    while (input.left) {
        uint8_t what = take_u8(&input);
        struct dp_key key = key_from(&input);
        const struct pair *known = in_model(&key);
        REQUIRE(dp_table_get(&table, &key) == (known ? known->value : NULL));
        if (what & 1)
            put(&table, &key, what);
        else if (what & 2)
            take(&table, &key);
        else if (what & 4)
            compare_all(&table);
    }
    compare_all(&table);
    dp_table_free(&table);
    return 0;
}
