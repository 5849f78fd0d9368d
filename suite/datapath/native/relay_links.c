/*
 * From flow to flow over shared sockets, without the network (rules 9 to 12).
 */
#include "relay_shared.h"

#include <stdlib.h>
#include <string.h>

/* Those at one home who want an address and have no link by it, the eldest first. */
struct dp_seekers {
    struct dp_key key;
    struct dp_way *eldest, *youngest;
    int count;
};

static struct dp_turn *turn_of(const struct dp_way *name) {
    return name->flow->thing.turn;
}

/* Seeking */

static struct dp_key seekers_key(const struct dp_relay *own, const struct dp_relay *home) {
    struct dp_key key = dp_number_key(own->thing.number << 2 | DP_SEEKERS, 0);
    memcpy(key.ip, &home->thing.number, sizeof home->thing.number);
    return key;
}

static struct dp_seekers *seekers_at(const struct dp_turn *turn, const struct dp_relay *own,
                                     const struct dp_relay *home) {
    struct dp_key key = seekers_key(own, home);
    return dp_table_get(&turn->table, &key);
}

static void seek(struct dp_way *name) {
    if (name->link || name->seekers) return;
    struct dp_turn *turn = turn_of(name);
    struct dp_seekers *seekers = seekers_at(turn, name->own, name->home);
    if (!seekers) {
        seekers = calloc(1, sizeof *seekers);
        if (!seekers) return;
        seekers->key = seekers_key(name->own, name->home);
        if (!dp_table_put(&turn->table, &seekers->key, seekers)) {
            free(seekers);
            return;
        }
    }
    name->seekers = seekers;
    name->elder = seekers->youngest;
    name->younger = NULL;
    if (name->elder)
        name->elder->younger = name;
    else
        seekers->eldest = name;
    seekers->youngest = name;
    seekers->count++;
}

static void seek_no_more(struct dp_way *name) {
    struct dp_seekers *seekers = name->seekers;
    if (!seekers) return;
    name->seekers = NULL;
    if (name->elder)
        name->elder->younger = name->younger;
    else
        seekers->eldest = name->younger;
    if (name->younger)
        name->younger->elder = name->elder;
    else
        seekers->youngest = name->elder;
    if (--seekers->count) return;
    dp_table_take(&turn_of(name)->table, &seekers->key);
    free(seekers);
}

void dp_name_want(struct dp_way *name) {
    if (name->wanted) return;
    name->wanted = true;
    seek(name);
}

/* Links */

static struct dp_way *other_end(const struct dp_link *link, const struct dp_way *name) {
    return link->ends[link->ends[0] == name];
}

/* End a link; a name that its flow never asked for goes with it, except `kept`. */
static void part(struct dp_link *link, const struct dp_way *kept) {
    turn_of(link->ends[0])->totals.links--;
    for (int at = 0; at < 2; at++) {
        struct dp_way *end = link->ends[at];
        end->link = NULL;
        if (end->wanted)
            seek(end);
        else if (end != kept && !end->channel)
            dp_way_free(end);
    }
    free(link);
}

void dp_name_end(struct dp_way *name) {
    if (name->link) part(name->link, name);
    seek_no_more(name);
}

static struct dp_link *join(struct dp_way *first, struct dp_way *second) {
    struct dp_turn *turn = turn_of(first);
    struct dp_link *link = malloc(sizeof *link);
    if (!link) return NULL;
    if (first->link) part(first->link, first);
    *link = (struct dp_link){.ends = {first, second}, .heard = turn->now};
    turn->totals.links++;
    for (int at = 0; at < 2; at++) {
        link->ends[at]->link = link;
        seek_no_more(link->ends[at]);
    }
    return link;
}

static bool is_free(const struct dp_way *name) {
    return !name->link || turn_of(name)->now - name->link->heard >= DP_LINK_SILENCE;
}

/* The link of these two in the family of `name`. */
static struct dp_link *between(const struct dp_way *name, const struct dp_flow *partner) {
    struct dp_relay *first = name->home;
    for (struct dp_relay *home = first; home; home = dp_shared_next(first, home)) {
        const struct dp_way *way = dp_flow_find_way(name->flow, &home->address);
        if (!way || way->is_pair || !way->link) continue;
        if (other_end(way->link, way)->flow == partner) return way->link;
    }
    return NULL;
}

/* Rule 10: whom a check names. */
static struct dp_flow *partner_of(const struct dp_way *name, const struct dp_fragments *fragments) {
    struct dp_flow *flows[DP_NAMES_MOST];
    int count = dp_named(turn_of(name), fragments->receiver, fragments->receiver_size, flows);
    int family = name->target.sa.sa_family;
    for (int at = 0; at < count; at++) {
        struct dp_flow *flow = flows[at];
        if (flow == name->flow || !dp_flow_heard(flow, &name->own->address)) continue;
        if (dp_flow_relay_for(flow, family) == name->home || between(name, flow)) return flow;
    }
    return NULL;
}

/* A name of a flow that is free, rid of the silent link that it may have. */
static struct dp_way *name_at(struct dp_flow *flow, struct dp_relay *own, struct dp_relay *home) {
    struct dp_way *way = dp_flow_find_way(flow, &home->address);
    if (way && way->link) part(way->link, way);
    return way ? way : dp_way_name(flow, own, home);
}

static struct dp_link *link_with(struct dp_way *name, struct dp_flow *partner) {
    struct dp_relay *first = name->own;
    if (!is_free(name)) return NULL;
    for (struct dp_relay *home = first; home; home = dp_shared_next(first, home)) {
        const struct dp_way *way = dp_flow_find_way(partner, &home->address);
        if (way && (way->is_pair || !is_free(way))) continue;
        struct dp_way *second = name_at(partner, name->home, home);
        return second ? join(name, second) : NULL;
    }
    return NULL;
}

/* The only one of some who is not `name`, or NULL. */
static struct dp_way *only_other(const struct dp_seekers *seekers, const struct dp_way *name) {
    if (!seekers) return NULL;
    bool is_among = name->seekers == seekers;
    if (seekers->count != 1 + is_among) return NULL;
    return seekers->eldest == name ? seekers->youngest : seekers->eldest;
}

/* Rule 11: who alone can be meant. */
static struct dp_link *guess(struct dp_way *name) {
    const struct dp_turn *turn = turn_of(name);
    struct dp_way *other = only_other(seekers_at(turn, name->home, name->own), name);
    if (!other || only_other(seekers_at(turn, name->own, name->home), other) != name) return NULL;
    if (!dp_flow_heard(name->flow, &name->home->address) ||
        !dp_flow_heard(other->flow, &name->own->address))
        return NULL;
    return join(name, other);
}

static struct dp_link *meant(struct dp_way *name, const uint8_t *payload, size_t size) {
    struct dp_fragments fragments;
    if (dp_is_check(payload, size) && dp_fragments(payload, size, &fragments)) {
        dp_flow_learn(name->flow, fragments.sender, fragments.sender_size);
        struct dp_flow *partner = partner_of(name, &fragments);
        if (partner) {
            struct dp_link *link = between(name, partner);
            return link ? link : link_with(name, partner);
        }
    }
    return name->link ? name->link : guess(name);
}

bool dp_name_cross(struct dp_way *name, const uint8_t *payload, size_t size) {
    dp_name_want(name);
    struct dp_turn *turn = turn_of(name);
    struct dp_link *link = meant(name, payload, size);
    if (!link) {
        turn->totals.unclaimed++;
        return false;
    }
    link->heard = turn->now;
    /* A link over another name of this flow has an end that is not `name`. */
    struct dp_way *mine = link->ends[0]->flow == name->flow ? link->ends[0] : link->ends[1];
    struct dp_way *theirs = other_end(link, mine);
    dp_flow_deliver(theirs->flow, theirs->channel, &theirs->target, (uint8_t *)(uintptr_t)payload,
                    size, false);
    return true;
}
