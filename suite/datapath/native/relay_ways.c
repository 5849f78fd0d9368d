/*
 * Ways of a flow to its peers over shared sockets (rules 1 to 3 and 7).
 */
#include "relay_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct dp_table *table_of(const struct dp_flow *flow) {
    return &flow->thing.turn->table;
}

static struct dp_key way_key(const struct dp_flow *flow, const union dp_addr *target) {
    return dp_space_key(flow->thing.number, DP_WAYS, target);
}

static struct dp_key pair_key(const struct dp_relay *home, const union dp_addr *target) {
    return dp_space_key(home->thing.number, DP_SOURCES, target);
}

int dp_flow_share(struct dp_flow *flow, uint64_t max_peers) {
    flow->sharing = calloc(1, sizeof *flow->sharing);
    if (!flow->sharing) return -1;
    flow->sharing->max_peers = max_peers;
    return 0;
}

/* Notes */

void dp_flow_note(struct dp_flow *flow, const union dp_addr *source, struct dp_relay *home) {
    struct dp_sharing *sharing = flow->sharing;
    if (!sharing->notes) sharing->notes = calloc(DP_NOTES_MOST, sizeof *sharing->notes);
    if (!sharing->notes) return;
    int old = 0;
    while (old < sharing->notes_used && !dp_addr_same(&sharing->notes[old].source, source)) old++;
    if (old == DP_NOTES_MOST) old = 0;
    if (old < sharing->notes_used) {
        sharing->notes_used--;
        memmove(sharing->notes + old, sharing->notes + old + 1,
                (size_t)(sharing->notes_used - old) * sizeof *sharing->notes);
    }
    sharing->notes[sharing->notes_used++] = (struct dp_note){*source, home};
}

static struct dp_relay *noted(const struct dp_flow *flow, const union dp_addr *source,
                              struct dp_relay *home) {
    const struct dp_sharing *sharing = flow->sharing;
    for (int at = 0; at < sharing->notes_used; at++)
        if (dp_addr_same(&sharing->notes[at].source, source)) return sharing->notes[at].home;
    return home;
}

static void forget_notes(struct dp_sharing *sharing, int family, const struct dp_relay *home) {
    int kept = 0;
    for (int at = 0; at < sharing->notes_used; at++) {
        const struct dp_note *note = &sharing->notes[at];
        if (note->source.sa.sa_family != family && !(home && note->home == home))
            sharing->notes[kept++] = *note;
    }
    sharing->notes_used = kept;
}

/* Ways come and go */

struct dp_way *dp_flow_find_way(const struct dp_flow *flow, const union dp_addr *target) {
    struct dp_key key = way_key(flow, target);
    return dp_table_get(table_of(flow), &key);
}

static struct dp_way *make(struct dp_flow *flow, const union dp_addr *target) {
    struct dp_way *way = calloc(1, sizeof *way);
    struct dp_key key = way_key(flow, target);
    if (!way || !dp_table_put(table_of(flow), &key, way)) {
        free(way);
        return NULL;
    }
    way->flow = flow;
    way->target = *target;
    way->after = flow->sharing->ways;
    if (way->after) way->after->before = way;
    flow->sharing->ways = way;
    return way;
}

void dp_way_free(struct dp_way *way) {
    struct dp_flow *flow = way->flow;
    struct dp_key key = way_key(flow, &way->target);
    dp_table_take(table_of(flow), &key);
    if (way->before)
        way->before->after = way->after;
    else
        flow->sharing->ways = way->after;
    if (way->after) way->after->before = way->before;
    /* Two hosts may be reached at one address, and have a channel each. */
    for (int at = 0; at < flow->channels_used; at++)
        if (flow->channels[at]->way == way) flow->channels[at]->way = NULL;
    free(way);
}

struct dp_way *dp_way_name(struct dp_flow *flow, struct dp_relay *own, struct dp_relay *home) {
    struct dp_way *way = make(flow, &home->address);
    if (!way) return NULL;
    way->own = own;
    way->home = home;
    return way;
}

static struct dp_relay *free_home(const struct dp_flow *flow, struct dp_relay *first,
                                  const union dp_addr *target) {
    for (struct dp_relay *home = first; home; home = dp_shared_next(first, home)) {
        struct dp_key key = pair_key(home, target);
        if (!dp_table_get(table_of(flow), &key)) return home;
    }
    return NULL;
}

static struct dp_way *claim_pair(struct dp_flow *flow, const union dp_addr *target) {
    struct dp_sharing *sharing = flow->sharing;
    struct dp_shared_totals *totals = &flow->thing.turn->totals;
    struct dp_relay *home = dp_flow_relay_for(flow, target->sa.sa_family);
    if (!home) return NULL;
    if (!sharing->max_peers || sharing->pairs < sharing->max_peers)
        home = free_home(flow, noted(flow, target, home), target);
    else
        home = NULL;
    struct dp_way *way = home ? make(flow, target) : NULL;
    struct dp_key key = home ? pair_key(home, target) : way_key(flow, target);
    if (way && !dp_table_put(table_of(flow), &key, way)) {
        dp_way_free(way);
        way = NULL;
    }
    if (!way) {
        totals->refused++;
        return NULL;
    }
    way->is_pair = true;
    way->home = home;
    sharing->pairs++;
    totals->pairs++;
    return way;
}

/* The way that there is, or a name if a shared socket is bound there. */
static struct dp_way *find_or_name(struct dp_flow *flow, const union dp_addr *target) {
    struct dp_way *way = dp_flow_find_way(flow, target);
    if (way) return way;
    struct dp_relay *home = dp_shared_at(flow->thing.turn, target);
    struct dp_relay *own = dp_flow_relay_for(flow, target->sa.sa_family);
    return home && own ? dp_way_name(flow, own, home) : NULL;
}

struct dp_way *dp_flow_way(struct dp_flow *flow, const union dp_addr *target) {
    struct dp_way *way = find_or_name(flow, target);
    return way ? way : claim_pair(flow, target);
}

void dp_flow_want(struct dp_flow *flow, const union dp_addr *target) {
    struct dp_way *way = flow->sharing ? find_or_name(flow, target) : NULL;
    if (way && !way->is_pair) dp_name_want(way);
}

int dp_flow_claim(struct dp_flow *flow, const union dp_addr *target) {
    if (!flow->sharing) return 0;
    struct dp_way *way = dp_flow_way(flow, target);
    if (!way) {
        errno = EBUSY;
        return -1;
    }
    if (!way->is_pair) dp_name_want(way);
    return 0;
}

static void end_way(struct dp_way *way) {
    struct dp_flow *flow = way->flow;
    if (way->is_pair) {
        struct dp_key key = pair_key(way->home, &way->target);
        dp_table_take(table_of(flow), &key);
        flow->sharing->pairs--;
        flow->thing.turn->totals.pairs--;
    } else {
        dp_name_end(way);
    }
    dp_way_free(way);
}

static bool keeps(const struct dp_way *way) {
    if (way->channel) return true;
    struct dp_key key = dp_space_host_key(way->flow->thing.number, DP_REACHED, &way->target);
    return dp_table_get(table_of(way->flow), &key);
}

void dp_way_detach(struct dp_channel *channel) {
    struct dp_way *way = channel->way;
    if (!way || way->channel != channel) return;
    way->channel = NULL;
    if (!keeps(way)) end_way(way);
}

/* Those of a family, and those by a socket. Ending one ends no other of the same flow. */
static void end_ways(struct dp_flow *flow, int family, const struct dp_relay *relay) {
    struct dp_way *next;
    for (struct dp_way *way = flow->sharing->ways; way; way = next) {
        next = way->after;
        bool is_there = relay && (way->home == relay || way->own == relay);
        if (is_there || way->target.sa.sa_family == family) end_way(way);
    }
}

void dp_sharing_drop(struct dp_flow *flow, int family) {
    end_ways(flow, family, NULL);
    forget_notes(flow->sharing, family, NULL);
}

void dp_sharing_expire(struct dp_flow *flow) {
    struct dp_way *next;
    for (struct dp_way *way = flow->sharing->ways; way; way = next) {
        next = way->after;
        if (!keeps(way)) end_way(way);
    }
}

void dp_sharing_free(struct dp_flow *flow) {
    if (!flow->sharing) return;
    while (flow->sharing->ways) end_way(flow->sharing->ways);
    dp_flow_unlearn_all(flow);
    free(flow->sharing->notes);
    free(flow->sharing);
    flow->sharing = NULL;
}

/* A shared socket goes; flows are to have left it before. */
void dp_shared_leave(struct dp_relay *relay) {
    struct dp_turn *turn = relay->thing.turn;
    struct dp_key key = dp_space_key(0, DP_SHARED, &relay->address);
    for (struct dp_flow *flow = turn->flows; flow; flow = flow->after) {
        if (!flow->sharing) continue;
        end_ways(flow, AF_UNSPEC, relay);
        forget_notes(flow->sharing, AF_UNSPEC, relay);
        for (int at = 0; at < 2; at++)
            if (flow->relays[at] == relay) flow->relays[at] = NULL;
    }
    if (dp_table_get(&turn->table, &key) == relay) dp_table_take(&turn->table, &key);
    struct dp_relay **link = &turn->shared;
    while (*link && *link != relay) link = &(*link)->next_shared;
    if (*link) *link = relay->next_shared;
}

/* Packets */

static void learn_from(struct dp_flow *flow, const uint8_t *payload, size_t size) {
    struct dp_fragments fragments;
    if (dp_is_check(payload, size) && dp_fragments(payload, size, &fragments))
        dp_flow_learn(flow, fragments.sender, fragments.sender_size);
}

void dp_way_send(struct dp_flow *flow, struct dp_way *way, const uint8_t *payload, size_t size,
                 bool dont_fragment) {
    if (way && way->is_pair) {
        learn_from(flow, payload, size);
        dp_flow_send_by(flow, way->home, &way->target, payload, size, dont_fragment);
    } else if (way && dp_name_cross(way, payload, size)) {
        flow->to_peers.packets++;
        flow->to_peers.octets += size;
    } else {
        flow->counters.dropped_packets++;
    }
}
