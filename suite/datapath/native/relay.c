/*
 * The relay's sockets and flows: how they come and go.
 */
#include "relay_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

struct dp_key dp_space_key(uint64_t number, enum dp_space space, const union dp_addr *addr) {
    return dp_key(number << 2 | space, addr);
}

struct dp_key dp_space_host_key(uint64_t number, enum dp_space space, const union dp_addr *addr) {
    return dp_host_key(number << 2 | space, addr);
}

static struct dp_key thing_key(uint64_t number) {
    return dp_number_key(number << 2 | DP_THINGS, 0);
}

struct dp_turn *dp_turn_open(struct dp_plane *plane) {
    struct dp_turn *turn = calloc(1, sizeof *turn);
    if (!turn) return NULL;
    turn->plane = plane;
    if (!dp_table_init(&turn->table)) {
        free(turn);
        return NULL;
    }
    return turn;
}

void dp_turn_close(struct dp_turn *turn) {
    while (turn->flows) dp_flow_close(turn->flows, NULL);
    while (turn->relays) dp_relay_close(turn->relays);
    while (turn->listeners) dp_turn_stop_listening(turn, turn->listeners->thing.number);
    dp_table_free(&turn->table);
    free(turn);
}

uint64_t dp_turn_ignored(const struct dp_turn *turn) {
    return turn->ignored;
}

size_t dp_turn_entries(const struct dp_turn *turn) {
    return turn->table.used;
}

void dp_turn_ignore(struct dp_turn *turn) {
    turn->ignored++;
}

uint64_t dp_turn_unsent(const struct dp_turn *turn) {
    return turn->to_clients.failed;
}

void *dp_turn_find(const struct dp_turn *turn, uint64_t number, enum dp_thing_kind kind) {
    struct dp_key key = thing_key(number);
    struct dp_thing *thing = dp_table_get(&turn->table, &key);
    if (thing && thing->kind == kind) return thing;
    errno = ENOENT;
    return NULL;
}

bool dp_turn_enter(struct dp_turn *turn, struct dp_thing *thing, enum dp_thing_kind kind) {
    thing->turn = turn;
    thing->kind = kind;
    thing->number = dp_number(turn->plane);
    struct dp_key key = thing_key(thing->number);
    return dp_table_put(&turn->table, &key, thing);
}

void dp_turn_leave(struct dp_thing *thing) {
    struct dp_key key = thing_key(thing->number);
    dp_table_take(&thing->turn->table, &key);
}

const uint8_t *dp_turn_id(struct dp_turn *turn) {
    /* Without random bytes an identifier is used twice, which costs a client nothing. */
    if (!turn->ids_left && getrandom(turn->ids, sizeof turn->ids, 0) < 0) turn->ids[0]++;
    if (!turn->ids_left) turn->ids_left = sizeof turn->ids / DP_ID_SIZE;
    return turn->ids + (size_t)--turn->ids_left * DP_ID_SIZE;
}

/* Listeners */

uint64_t dp_turn_listen(struct dp_turn *turn, int fd) {
    struct dp_listener *listener = calloc(1, sizeof *listener);
    if (!listener || dp_watch(turn->plane, &listener->socket, fd, &dp_listener_kind)) goto refused;
    if (!dp_turn_enter(turn, &listener->thing, DP_IS_LISTENER)) {
        dp_release(turn->plane, &listener->socket);
        goto refused;
    }
    listener->after = turn->listeners;
    if (listener->after) listener->after->before = listener;
    turn->listeners = listener;
    return listener->thing.number;
refused:
    free(listener);
    close(fd);
    return 0;
}

void dp_listener_let_go(struct dp_listener *listener) {
    if (!--listener->flows && listener->socket.fd < 0) free(listener);
}

int dp_turn_stop_listening(struct dp_turn *turn, uint64_t number) {
    struct dp_listener *listener = dp_turn_find(turn, number, DP_IS_LISTENER);
    if (!listener) return -1;
    dp_turn_leave(&listener->thing);
    dp_forget(turn->plane, &listener->socket);
    if (listener->before)
        listener->before->after = listener->after;
    else
        turn->listeners = listener->after;
    if (listener->after) listener->after->before = listener->before;
    listener->flows++;
    dp_listener_let_go(listener);
    return 0;
}

void dp_turn_answer(struct dp_turn *turn, uint64_t number, const union dp_addr *to,
                    const uint8_t *message, size_t size) {
    struct dp_listener *listener = dp_turn_find(turn, number, DP_IS_LISTENER);
    if (!listener) {
        turn->to_clients.failed++;
        return;
    }
    struct dp_out *out = dp_out(turn->plane, &listener->socket, to);
    out->part[0] = (struct iovec){(void *)(uintptr_t)message, size};
    out->parts = 1;
    out->size = size;
    out->tally = &turn->to_clients;
    dp_flush(turn->plane);
}

/* Relay sockets */

uint64_t dp_turn_add_relay(struct dp_turn *turn, struct dp_relay *relay, int fd,
                           const struct dp_kind *kind) {
    if (!relay || dp_watch(turn->plane, &relay->socket, fd, kind)) goto refused;
    if (!dp_turn_enter(turn, &relay->thing, DP_IS_RELAY)) {
        dp_release(turn->plane, &relay->socket);
        goto refused;
    }
    relay->after = turn->relays;
    if (relay->after) relay->after->before = relay;
    turn->relays = relay;
    return relay->thing.number;
refused:
    free(relay);
    close(fd);
    return 0;
}

uint64_t dp_turn_bind(struct dp_turn *turn, int fd) {
    return dp_turn_add_relay(turn, calloc(1, sizeof(struct dp_relay)), fd, &dp_relay_kind);
}

void dp_relay_close(struct dp_relay *relay) {
    struct dp_turn *turn = relay->thing.turn;
    if (relay->is_shared) dp_shared_leave(relay);
    dp_turn_leave(&relay->thing);
    dp_forget(turn->plane, &relay->socket);
    if (relay->before)
        relay->before->after = relay->after;
    else
        turn->relays = relay->after;
    if (relay->after) relay->after->before = relay->before;
    free(relay);
}

int dp_turn_release(struct dp_turn *turn, uint64_t number) {
    struct dp_relay *relay = dp_turn_find(turn, number, DP_IS_RELAY);
    if (!relay) return -1;
    if (relay->flow) return dp_flow_drop_relay(relay->flow, number);
    dp_relay_close(relay);
    return 0;
}

/* Flows */

struct dp_flow *dp_flow_open(struct dp_turn *turn, uint64_t max_bps) {
    struct dp_flow *flow = calloc(1, sizeof *flow);
    if (!flow || !dp_turn_enter(turn, &flow->thing, DP_IS_FLOW)) {
        free(flow);
        errno = ENOMEM;
        return NULL;
    }
    flow->soonest = __builtin_inf();
    flow->max_bps = flow->budget_up = flow->budget_down = max_bps;
    flow->after = turn->flows;
    if (flow->after) flow->after->before = flow;
    turn->flows = flow;
    return flow;
}

struct dp_flow *dp_flow_find(const struct dp_turn *turn, uint64_t number) {
    return dp_turn_find(turn, number, DP_IS_FLOW);
}

uint64_t dp_flow_number(const struct dp_flow *flow) {
    return flow->thing.number;
}

int dp_flow_set_udp(struct dp_flow *flow, uint64_t number, const union dp_addr *client) {
    struct dp_turn *turn = flow->thing.turn;
    struct dp_listener *listener = dp_turn_find(turn, number, DP_IS_LISTENER);
    if (!listener) return -1;
    struct dp_key key = dp_space_key(number, DP_CLIENTS, client);
    if (!dp_table_put(&turn->table, &key, flow)) {
        errno = ENOMEM;
        return -1;
    }
    flow->client = DP_UDP_CLIENT;
    flow->listener = listener;
    flow->address = *client;
    listener->flows++;
    return 0;
}

void dp_flow_set_python(struct dp_flow *flow) {
    flow->client = DP_PYTHON_STREAM;
}

void dp_flow_set_stream(struct dp_flow *flow, void *stream, dp_to_client to_client) {
    /* One that had the flow until now would keep it beyond its end. */
    if (stream && flow->client == DP_OTHER_STREAM && flow->stream != stream)
        flow->to_client(flow->thing.turn->plane, flow->stream, NULL, 0, 0);
    flow->client = stream ? DP_OTHER_STREAM : DP_NOBODY;
    flow->stream = stream;
    flow->to_client = to_client;
}

static int family_at(int family) {
    return family == AF_INET6;
}

struct dp_relay *dp_flow_relay_for(const struct dp_flow *flow, int family) {
    return flow->relays[family_at(family)];
}

int dp_flow_add_relay(struct dp_flow *flow, uint64_t number) {
    struct dp_relay *relay = dp_turn_find(flow->thing.turn, number, DP_IS_RELAY);
    if (!relay) return -1;
    if (relay->flow || relay->is_shared != !!flow->sharing ||
        dp_flow_relay_for(flow, relay->socket.family)) {
        errno = EEXIST;
        return -1;
    }
    flow->relays[family_at(relay->socket.family)] = relay;
    if (!relay->is_shared) relay->flow = flow;
    return 0;
}

static void drop_relay(struct dp_flow *flow, struct dp_relay *relay) {
    int family = relay->socket.family;
    dp_flow_forget_channels(flow, family);
    if (flow->sharing)
        dp_sharing_drop(flow, family);
    else
        dp_relay_close(relay);
    flow->relays[family_at(family)] = NULL;
}

int dp_flow_drop_relay(struct dp_flow *flow, uint64_t number) {
    struct dp_relay *relay = dp_turn_find(flow->thing.turn, number, DP_IS_RELAY);
    if (!relay) return -1;
    if (dp_flow_relay_for(flow, relay->socket.family) != relay) {
        errno = ENOENT;
        return -1;
    }
    drop_relay(flow, relay);
    return 0;
}

static void forget_client(struct dp_flow *flow) {
    if (flow->client == DP_OTHER_STREAM)
        flow->to_client(flow->thing.turn->plane, flow->stream, NULL, 0, 0);
    if (!flow->listener) return;
    struct dp_key key = dp_space_key(flow->listener->thing.number, DP_CLIENTS, &flow->address);
    struct dp_table *table = &flow->thing.turn->table;
    /* A newer flow may have the client by now. */
    if (dp_table_get(table, &key) == flow) dp_table_take(table, &key);
    dp_listener_let_go(flow->listener);
}

void dp_flow_close(struct dp_flow *flow, struct dp_counters *counters) {
    struct dp_turn *turn = flow->thing.turn;
    /* What waits to go out is counted here. */
    dp_flush(turn->plane);
    if (counters) dp_flow_count(flow, counters);
    dp_turn_leave(&flow->thing);
    forget_client(flow);
    /* Those of a shared socket that went before the flow, too. */
    dp_flow_forget_channels(flow, AF_INET);
    dp_flow_forget_channels(flow, AF_INET6);
    for (int at = 0; at < 2; at++)
        if (flow->relays[at]) drop_relay(flow, flow->relays[at]);
    dp_flow_forget_peers(flow);
    dp_sharing_free(flow);
    if (flow->before)
        flow->before->after = flow->after;
    else
        turn->flows = flow->after;
    if (flow->after) flow->after->before = flow->before;
    free(flow->channels);
    free(flow);
}

void dp_flow_count(const struct dp_flow *flow, struct dp_counters *counters) {
    *counters = flow->counters;
    counters->peer_sent_packets = flow->to_peers.packets;
    counters->peer_sent_bytes = flow->to_peers.octets;
    counters->dropped_packets += flow->to_peers.failed;
}

/* Time */

void dp_turn_expire(struct dp_turn *turn, double now) {
    double elapsed = turn->was_refilled ? now - turn->refilled : 0.0;
    turn->refilled = now;
    turn->was_refilled = true;
    turn->now = now;
    for (struct dp_flow *flow = turn->flows; flow; flow = flow->after) {
        dp_flow_expire(flow, now);
        if (flow->max_bps) dp_flow_refill(flow, elapsed);
    }
}
