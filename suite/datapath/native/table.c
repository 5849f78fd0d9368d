#include "table.h"

#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_SIZE 16

bool dp_table_init(struct dp_table *table) {
    memset(table, 0, sizeof *table);
    return getrandom(table->secret, sizeof table->secret, 0) == (ssize_t)sizeof table->secret;
}

void dp_table_free(struct dp_table *table) {
    free(table->entries);
    table->entries = NULL;
    table->size = table->used = 0;
}

static struct dp_key bare_key(uint64_t space) {
    struct dp_key key;
    memset(&key, 0, sizeof key);
    key.space = space;
    return key;
}

struct dp_key dp_host_key(uint64_t space, const union dp_addr *addr) {
    struct dp_key key = bare_key(space);
    key.family = addr->sa.sa_family;
    if (addr->sa.sa_family == AF_INET6) {
        memcpy(key.ip, &addr->in6.sin6_addr, 16);
        if (IN6_IS_ADDR_LINKLOCAL(&addr->in6.sin6_addr)) key.scope = addr->in6.sin6_scope_id;
    } else {
        memcpy(key.ip, &addr->in.sin_addr, 4);
    }
    return key;
}

struct dp_key dp_key(uint64_t space, const union dp_addr *addr) {
    struct dp_key key = dp_host_key(space, addr);
    /* The port lies at the same place for both families. */
    key.port = addr->in.sin_port;
    return key;
}

struct dp_key dp_number_key(uint64_t space, uint32_t number) {
    struct dp_key key = bare_key(space);
    key.scope = number;
    return key;
}

static uint64_t folded(uint64_t one, uint64_t other) {
    unsigned __int128 product = (unsigned __int128)one * other;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static size_t slot_of(const struct dp_table *table, const struct dp_key *key) {
    uint64_t word[4];
    memcpy(word, key, sizeof word);
    uint64_t one = folded(word[0] ^ table->secret[0], word[1] ^ table->secret[1]);
    uint64_t other = folded(word[2] ^ table->secret[1], word[3] ^ table->secret[0] ^ one);
    return (size_t)folded(one ^ table->secret[0], other ^ table->secret[1]) & (table->size - 1);
}

_Static_assert(sizeof(struct dp_key) == 32, "a key is four words without padding");

static struct dp_entry *find(const struct dp_table *table, const struct dp_key *key) {
    if (!table->size) return NULL;
    size_t at = slot_of(table, key);
    while (table->entries[at].value) {
        if (!memcmp(&table->entries[at].key, key, sizeof *key)) return &table->entries[at];
        at = (at + 1) & (table->size - 1);
    }
    return NULL;
}

void *dp_table_get(const struct dp_table *table, const struct dp_key *key) {
    const struct dp_entry *found = find(table, key);
    return found ? found->value : NULL;
}

static void place(struct dp_table *table, const struct dp_key *key, void *value) {
    size_t at = slot_of(table, key);
    while (table->entries[at].value) at = (at + 1) & (table->size - 1);
    table->entries[at].key = *key;
    table->entries[at].value = value;
}

static bool resize(struct dp_table *table, size_t size) {
    struct dp_entry *old = table->entries;
    size_t before = table->size;
    struct dp_entry *entries = calloc(size, sizeof *entries);
    if (!entries) return false;
    table->entries = entries;
    table->size = size;
    for (size_t at = 0; at < before; at++)
        if (old[at].value) place(table, &old[at].key, old[at].value);
    free(old);
    return true;
}

bool dp_table_put(struct dp_table *table, const struct dp_key *key, void *value) {
    struct dp_entry *found = find(table, key);
    if (found) {
        found->value = value;
        return true;
    }
    if ((table->used + 1) * 3 > table->size * 2 &&
        !resize(table, table->size ? table->size * 2 : FIRST_SIZE))
        return false;
    place(table, key, value);
    table->used++;
    return true;
}

void *dp_table_take(struct dp_table *table, const struct dp_key *key) {
    struct dp_entry *found = find(table, key);
    if (!found) return NULL;
    void *value = found->value;
    size_t mask = table->size - 1;
    size_t hole = (size_t)(found - table->entries);
    table->used--;
    /* What lies behind moves up, unless it would get before its own place. */
    for (size_t at = (hole + 1) & mask; table->entries[at].value; at = (at + 1) & mask) {
        size_t home = slot_of(table, &table->entries[at].key);
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            table->entries[hole] = table->entries[at];
            hole = at;
        }
    }
    table->entries[hole].value = NULL;
    return value;
}
