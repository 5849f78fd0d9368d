/*
 * User name fragments of ICE: in checks, and whose they are (rule 4).
 */
#include "relay_shared.h"

#include <stdlib.h>
#include <string.h>

enum { BINDING_REQUEST = 0x0001, USERNAME = 0x0006 };

/* Who is known by one name. Names of one hash are chained. */
struct dp_name {
    struct dp_name *next;
    struct dp_known *eldest, *youngest;
    uint64_t hash;
    size_t size;
    uint8_t bytes[];
};

/* Checks */

bool dp_is_check(const uint8_t *data, size_t size) {
    return size >= DP_STUN_HEAD && dp_read16(data) == BINDING_REQUEST &&
           dp_read32(data + 4) == DP_COOKIE && dp_read16(data + 2) == size - DP_STUN_HEAD;
}

static bool part(const uint8_t *value, size_t size, struct dp_fragments *fragments) {
    const uint8_t *colon = size ? memchr(value, ':', size) : NULL;
    if (!colon) return false;
    fragments->receiver = value;
    fragments->receiver_size = (size_t)(colon - value);
    fragments->sender = colon + 1;
    fragments->sender_size = size - fragments->receiver_size - 1;
    return true;
}

bool dp_fragments(const uint8_t *check, size_t size, struct dp_fragments *fragments) {
    size_t at = DP_STUN_HEAD;
    while (at + 4 <= size) {
        size_t value = at + 4, end = value + dp_read16(check + at + 2);
        if (end > size) return false;
        if (dp_read16(check + at) == USERNAME) return part(check + value, end - value, fragments);
        at = (end + 3) & ~(size_t)3;
    }
    return false;
}

/* Whose names are */

static uint64_t hash_of(const struct dp_turn *turn, const uint8_t *name, size_t size) {
    uint64_t hash = turn->table.secret[0] ^ size;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, name + at, size - at < 8 ? size - at : 8);
        unsigned __int128 product = (unsigned __int128)(hash ^ word) * (turn->table.secret[1] | 1);
        hash = (uint64_t)product ^ (uint64_t)(product >> 64);
    }
    return hash;
}

static struct dp_key name_key(uint64_t hash) {
    struct dp_key key = dp_number_key(DP_NAMES, 0);
    memcpy(key.ip, &hash, sizeof hash);
    return key;
}

static struct dp_name *find(const struct dp_turn *turn, uint64_t hash, const uint8_t *bytes,
                            size_t size) {
    struct dp_key key = name_key(hash);
    struct dp_name *name = dp_table_get(&turn->table, &key);
    while (name && (name->size != size || memcmp(name->bytes, bytes, size))) name = name->next;
    return name;
}

static struct dp_name *find_or_make(struct dp_turn *turn, const uint8_t *bytes, size_t size) {
    uint64_t hash = hash_of(turn, bytes, size);
    struct dp_name *name = find(turn, hash, bytes, size);
    if (name) return name;
    name = calloc(1, sizeof *name + size);
    if (!name) return NULL;
    name->hash = hash;
    name->size = size;
    memcpy(name->bytes, bytes, size);
    struct dp_key key = name_key(hash);
    name->next = dp_table_get(&turn->table, &key);
    if (dp_table_put(&turn->table, &key, name)) return name;
    free(name);
    return NULL;
}

static void drop(struct dp_turn *turn, struct dp_name *name) {
    struct dp_key key = name_key(name->hash);
    struct dp_name *first = dp_table_get(&turn->table, &key);
    if (first == name && name->next) {
        dp_table_put(&turn->table, &key, name->next);
    } else if (first == name) {
        dp_table_take(&turn->table, &key);
    } else {
        while (first->next != name) first = first->next;
        first->next = name->next;
    }
    free(name);
}

int dp_named(const struct dp_turn *turn, const uint8_t *bytes, size_t size,
             struct dp_flow *flows[DP_NAMES_MOST]) {
    if (!size || size > DP_NAME_MOST) return 0;
    const struct dp_name *name = find(turn, hash_of(turn, bytes, size), bytes, size);
    int count = 0;
    const struct dp_known *known = name ? name->eldest : NULL;
    for (; known && count < DP_NAMES_MOST; known = known->younger) flows[count++] = known->flow;
    return count;
}

static void forget_eldest(struct dp_flow *flow) {
    struct dp_sharing *sharing = flow->sharing;
    struct dp_known *known = sharing->names[0];
    struct dp_name *name = known->name;
    if (known->elder)
        known->elder->younger = known->younger;
    else
        name->eldest = known->younger;
    if (known->younger)
        known->younger->elder = known->elder;
    else
        name->youngest = known->elder;
    if (!name->eldest) drop(flow->thing.turn, name);
    free(known);
    sharing->names_used--;
    memmove(sharing->names, sharing->names + 1,
            (size_t)sharing->names_used * sizeof sharing->names[0]);
}

static bool is_known(const struct dp_sharing *sharing, const uint8_t *bytes, size_t size) {
    for (int at = 0; at < sharing->names_used; at++) {
        const struct dp_name *name = sharing->names[at]->name;
        if (name->size == size && !memcmp(name->bytes, bytes, size)) return true;
    }
    return false;
}

void dp_flow_learn(struct dp_flow *flow, const uint8_t *bytes, size_t size) {
    struct dp_sharing *sharing = flow->sharing;
    if (!size || size > DP_NAME_MOST || is_known(sharing, bytes, size)) return;
    if (sharing->names_used == DP_NAMES_MOST) forget_eldest(flow);
    struct dp_known *known = calloc(1, sizeof *known);
    struct dp_name *name = known ? find_or_make(flow->thing.turn, bytes, size) : NULL;
    if (!name) {
        /* Without memory the client is found by its pairs only. */
        free(known);
        return;
    }
    *known = (struct dp_known){.name = name, .flow = flow, .elder = name->youngest};
    if (known->elder)
        known->elder->younger = known;
    else
        name->eldest = known;
    name->youngest = known;
    sharing->names[sharing->names_used++] = known;
}

void dp_flow_unlearn_all(struct dp_flow *flow) {
    while (flow->sharing->names_used) forget_eldest(flow);
}
