/*
 * Shared relay sockets: what comes in there, and for whom (rules 5 to 8).
 *
 * Hot path; benchmarks/run.py measures it.
 */
#include "relay_shared.h"

#include <stdlib.h>
#include <unistd.h>

static struct dp_key shared_key(const union dp_addr *address) {
    return dp_space_key(0, DP_SHARED, address);
}

uint64_t dp_turn_bind_shared(struct dp_turn *turn, int fd) {
    struct dp_relay *relay = calloc(1, sizeof *relay);
    socklen_t size = sizeof relay->address;
    if (!relay || getsockname(fd, &relay->address.sa, &size)) {
        free(relay);
        close(fd);
        return 0;
    }
    struct dp_key key = shared_key(&relay->address);
    uint64_t number = dp_turn_add_relay(turn, relay, fd, &dp_shared_kind);
    if (!number) return 0;
    relay->is_shared = true;
    struct dp_relay **link = &turn->shared;
    while (*link) link = &(*link)->next_shared;
    *link = relay;
    if (dp_table_put(&turn->table, &key, relay)) return number;
    dp_relay_close(relay);
    return 0;
}

struct dp_shared_totals dp_turn_totals(const struct dp_turn *turn) {
    return turn->totals;
}

struct dp_relay *dp_shared_at(const struct dp_turn *turn, const union dp_addr *address) {
    struct dp_key key = shared_key(address);
    return dp_table_get(&turn->table, &key);
}

struct dp_relay *dp_shared_next(const struct dp_relay *first, const struct dp_relay *relay) {
    do {
        relay = relay->next_shared ? relay->next_shared : relay->thing.turn->shared;
    } while (!dp_same_host(&relay->address, &first->address));
    return relay == first ? NULL : (struct dp_relay *)(uintptr_t)relay;
}

/* Checks */

static bool may_hear(const struct dp_relay *relay, const struct dp_flow *flow,
                     const union dp_addr *from) {
    const struct dp_relay *home = dp_flow_relay_for(flow, from->sa.sa_family);
    return home && dp_same_host(&home->address, &relay->address) && dp_flow_heard(flow, from);
}

/* Whom a check names that may hear its source; returns how many. */
static int named(const struct dp_relay *relay, const union dp_addr *from, const uint8_t *check,
                 size_t size, struct dp_flow *flows[DP_NAMES_MOST]) {
    struct dp_turn *turn = relay->thing.turn;
    struct dp_fragments fragments;
    if (!dp_fragments(check, size, &fragments) || dp_shared_at(turn, from)) return 0;
    int found = dp_named(turn, fragments.receiver, fragments.receiver_size, flows);
    int count = 0;
    for (int at = 0; at < found; at++)
        if (may_hear(relay, flows[at], from)) flows[count++] = flows[at];
    return count;
}

static void deliver_by_pair(const struct dp_way *pair, const struct dp_slot *slot, size_t at,
                            size_t size) {
    dp_flow_deliver(pair->flow, pair->channel, &slot->from, slot->data + at, size, at == 0);
}

static void take_check(struct dp_relay *relay, const struct dp_way *pair,
                       const struct dp_slot *slot, size_t at, size_t size) {
    struct dp_flow *flows[DP_NAMES_MOST];
    int count = named(relay, &slot->from, slot->data + at, size, flows);
    bool is_own = pair && !count;
    for (int each = 0; each < count; each++) is_own |= pair && flows[each] == pair->flow;
    if (is_own) {
        deliver_by_pair(pair, slot, at, size);
        return;
    }
    for (int each = 0; each < count; each++) {
        struct dp_flow *flow = flows[each];
        if (!pair && dp_flow_relay_for(flow, slot->from.sa.sa_family) != relay)
            dp_flow_note(flow, &slot->from, relay);
        const struct dp_way *way = dp_flow_find_way(flow, &slot->from);
        dp_flow_deliver(flow, way ? way->channel : NULL, &slot->from, slot->data + at, size, false);
    }
    if (!count) relay->thing.turn->totals.unclaimed++;
}

/* Packets */

static void take(struct dp_relay *relay, const struct dp_slot *slot) {
    struct dp_key key = dp_space_key(relay->thing.number, DP_SOURCES, &slot->from);
    const struct dp_way *pair = dp_table_get(&relay->thing.turn->table, &key);
    size_t at = 0;
    /* An empty datagram is one, too. */
    do {
        size_t size = slot->size - at < slot->segment ? slot->size - at : slot->segment;
        if (dp_is_check(slot->data + at, size))
            take_check(relay, pair, slot, at, size);
        else if (pair)
            deliver_by_pair(pair, slot, at, size);
        else
            relay->thing.turn->totals.unclaimed++;
        at += slot->segment;
    } while (at < slot->size);
}

static int receive(struct dp_plane *plane, struct dp_socket *socket, int share) {
    struct dp_relay *relay = dp_relay_of(socket);
    int room = DP_EVENTS - plane->events_used;
    int count = dp_receive(plane, socket, share < room ? share : room);
    for (int at = 0; at < count; at++) take(relay, &plane->slots[at]);
    return count;
}

static struct dp_flow *pair_owner(struct dp_relay *relay, const union dp_addr *peer) {
    struct dp_key key = dp_space_key(relay->thing.number, DP_SOURCES, peer);
    const struct dp_way *pair = dp_table_get(&relay->thing.turn->table, &key);
    return pair ? pair->flow : NULL;
}

static void report_errors(struct dp_plane *plane, struct dp_socket *socket) {
    (void)plane;
    dp_relay_report(dp_relay_of(socket), pair_owner);
}

const struct dp_kind dp_shared_kind = {.readable = receive, .errors = report_errors};
