/*
 * Permissions and channels of a flow (RFC 8656, sections 9 and 12), and its budgets of bytes.
 */
#include "relay_shared.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct dp_table *table_of(const struct dp_flow *flow) {
    return &flow->thing.turn->table;
}

static struct dp_key host_key(const struct dp_flow *flow, const union dp_addr *host) {
    return dp_space_host_key(flow->thing.number, DP_HOSTS, host);
}

static struct dp_key reached_key(const struct dp_flow *flow, const union dp_addr *host) {
    return dp_space_host_key(flow->thing.number, DP_REACHED, host);
}

bool dp_same_host(const union dp_addr *one, const union dp_addr *other) {
    if (one->sa.sa_family != other->sa.sa_family) return false;
    if (one->sa.sa_family == AF_INET) return one->in.sin_addr.s_addr == other->in.sin_addr.s_addr;
    return !memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, 16);
}

static double earlier(double one, double other) {
    return one < other ? one : other;
}

/* Permissions */

bool dp_peer_counts(const struct dp_peer *peer, uint16_t port) {
    for (int at = 0; at < peer->ports_count; at++)
        if (peer->ports[at].first <= port && port <= peer->ports[at].last) return true;
    return !peer->ports_count;
}

struct dp_peer *dp_flow_heard(const struct dp_flow *flow, const union dp_addr *from) {
    struct dp_key key = reached_key(flow, from);
    struct dp_peer *peer = dp_table_get(table_of(flow), &key);
    return peer && dp_peer_counts(peer, ntohs(from->in.sin_port)) ? peer : NULL;
}

/* Another place in memory holds the same permission now, or (NULL) none does. */
static void move_peer(struct dp_flow *flow, const struct dp_peer *from, struct dp_peer *to) {
    for (int at = 0; at < flow->channels_used; at++)
        if (flow->channels[at]->peer == from) flow->channels[at]->peer = to;
}

static struct dp_peer *make_peer(struct dp_flow *flow, const union dp_addr *host,
                                 const union dp_addr *reached_at, int ports_count) {
    struct dp_peer *peer = calloc(1, sizeof *peer + (size_t)ports_count * sizeof peer->ports[0]);
    if (!peer) return NULL;
    peer->host = *host;
    peer->reached_at = *reached_at;
    struct dp_key by_host = host_key(flow, host);
    struct dp_key by_reached = reached_key(flow, reached_at);
    if (!dp_table_put(table_of(flow), &by_host, peer) ||
        !dp_table_put(table_of(flow), &by_reached, peer)) {
        dp_table_take(table_of(flow), &by_host);
        free(peer);
        return NULL;
    }
    peer->next = flow->peers;
    flow->peers = peer;
    for (int at = 0; at < flow->channels_used; at++)
        if (dp_same_host(&flow->channels[at]->address, host)) flow->channels[at]->peer = peer;
    return peer;
}

/* The same permission with room for so many ranges of ports. */
static struct dp_peer *resize_peer(struct dp_flow *flow, struct dp_peer *peer, int ports_count) {
    struct dp_table *table = table_of(flow);
    size_t size = sizeof *peer + (size_t)ports_count * sizeof peer->ports[0];
    struct dp_peer **link = &flow->peers;
    struct dp_peer *fresh = calloc(1, size);
    if (!fresh) return NULL;
    *fresh = *peer;
    while (*link != peer) link = &(*link)->next;
    *link = fresh;
    struct dp_key key = host_key(flow, &peer->host);
    dp_table_put(table, &key, fresh);
    key = reached_key(flow, &peer->reached_at);
    /* Two hosts may be reached at one address; the last that was permitted is heard. */
    if (dp_table_get(table, &key) == peer) dp_table_put(table, &key, fresh);
    move_peer(flow, peer, fresh);
    free(peer);
    return fresh;
}

int dp_flow_permit(struct dp_flow *flow, const union dp_addr *host, const union dp_addr *reached_at,
                   const struct dp_ports *ports, int ports_count, double until) {
    struct dp_key key = host_key(flow, host);
    struct dp_peer *peer = dp_table_get(table_of(flow), &key);
    if (!peer)
        peer = make_peer(flow, host, reached_at, ports_count);
    else if (ports_count > peer->ports_count)
        peer = resize_peer(flow, peer, ports_count);
    if (!peer) {
        errno = ENOMEM;
        return -1;
    }
    /* The peer rules may have changed since the permission began. */
    peer->ports_count = ports_count;
    for (int at = 0; at < ports_count; at++) peer->ports[at] = ports[at];
    peer->until = until;
    flow->soonest = earlier(flow->soonest, until);
    return 0;
}

/* Forget the permission that `link` points to. */
static void forget_peer(struct dp_flow *flow, struct dp_peer **link) {
    struct dp_peer *peer = *link;
    struct dp_key key = host_key(flow, &peer->host);
    dp_table_take(table_of(flow), &key);
    key = reached_key(flow, &peer->reached_at);
    dp_table_take(table_of(flow), &key);
    move_peer(flow, peer, NULL);
    *link = peer->next;
    free(peer);
}

void dp_flow_forget_peers(struct dp_flow *flow) {
    while (flow->peers) forget_peer(flow, &flow->peers);
}

/* Channels */

/* Where the channel is or would be. */
static int channel_at(const struct dp_flow *flow, uint16_t number) {
    int low = 0, high = flow->channels_used;
    while (low < high) {
        int middle = (low + high) / 2;
        if (flow->channels[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct dp_channel *dp_flow_channel(const struct dp_flow *flow, uint16_t number) {
    int at = channel_at(flow, number);
    if (at == flow->channels_used || flow->channels[at]->number != number) return NULL;
    return flow->channels[at];
}

static struct dp_key source_key(const struct dp_channel *channel) {
    return dp_space_key(channel->relay->thing.number, DP_SOURCES, &channel->target);
}

/* Let whatever hears the channel's peer know of it. False if there is no memory. */
static bool attach(struct dp_channel *channel) {
    if (channel->way) {
        channel->way->channel = channel;
        return true;
    }
    struct dp_key key = source_key(channel);
    return dp_table_put(table_of(channel->flow), &key, channel);
}

static void detach(struct dp_channel *channel) {
    if (channel->flow->sharing) {
        dp_way_detach(channel);
        return;
    }
    struct dp_table *table = table_of(channel->flow);
    struct dp_key key = source_key(channel);
    if (dp_table_get(table, &key) == channel) dp_table_take(table, &key);
}

static void forget_channel(struct dp_flow *flow, int at) {
    struct dp_channel *channel = flow->channels[at];
    flow->channels_used--;
    memmove(flow->channels + at, flow->channels + at + 1,
            (size_t)(flow->channels_used - at) * sizeof *flow->channels);
    detach(channel);
    free(channel);
}

void dp_flow_forget_channels(struct dp_flow *flow, int family) {
    for (int at = flow->channels_used - 1; at >= 0; at--)
        if (flow->channels[at]->target.sa.sa_family == family) forget_channel(flow, at);
}

static bool make_room(struct dp_flow *flow) {
    if (flow->channels_used < flow->channels_room) return true;
    int room = flow->channels_room ? flow->channels_room * 2 : 1;
    void *grown = realloc(flow->channels, (size_t)room * sizeof *flow->channels);
    if (!grown) return false;
    flow->channels = grown;
    flow->channels_room = room;
    return true;
}

static bool enter_channel(struct dp_flow *flow, const struct dp_channel *made) {
    struct dp_channel *channel = malloc(sizeof *channel);
    if (!channel) return false;
    *channel = *made;
    if (!make_room(flow) || !attach(channel)) {
        free(channel);
        return false;
    }
    int at = channel_at(flow, made->number);
    memmove(flow->channels + at + 1, flow->channels + at,
            (size_t)(flow->channels_used - at) * sizeof *flow->channels);
    flow->channels[at] = channel;
    flow->channels_used++;
    return true;
}

static int make_channel(struct dp_flow *flow, uint16_t number, const union dp_addr *address,
                        double until) {
    struct dp_key key = host_key(flow, address);
    struct dp_peer *peer = dp_table_get(table_of(flow), &key);
    if (!peer) {
        errno = ENOENT;
        return -1;
    }
    struct dp_channel made = {.number = number,
                              .address = *address,
                              .target = peer->reached_at,
                              .until = until,
                              .flow = flow,
                              .peer = peer};
    made.target.in.sin_port = address->in.sin_port;
    if (flow->sharing)
        made.way = dp_flow_way(flow, &made.target);
    else
        made.relay = dp_flow_relay_for(flow, made.target.sa.sa_family);
    errno = EAFNOSUPPORT;
    if (!made.way && !made.relay) return -1;
    errno = ENOMEM;
    return enter_channel(flow, &made) ? 0 : -1;
}

int dp_flow_bind_channel(struct dp_flow *flow, uint16_t number, const union dp_addr *peer,
                         double until) {
    struct dp_channel *channel = dp_flow_channel(flow, number);
    if (channel && !dp_addr_same(&channel->address, peer)) {
        forget_channel(flow, channel_at(flow, number));
        channel = NULL;
    }
    if (!channel && make_channel(flow, number, peer, until)) return -1;
    if (channel) channel->until = until;
    flow->soonest = earlier(flow->soonest, until);
    return 0;
}

/* Time */

static void find_soonest(struct dp_flow *flow) {
    flow->soonest = __builtin_inf();
    for (const struct dp_peer *peer = flow->peers; peer; peer = peer->next)
        flow->soonest = earlier(flow->soonest, peer->until);
    for (int at = 0; at < flow->channels_used; at++)
        flow->soonest = earlier(flow->soonest, flow->channels[at]->until);
}

void dp_flow_expire(struct dp_flow *flow, double now) {
    if (now < flow->soonest) return;
    struct dp_peer **link = &flow->peers;
    while (*link) {
        if ((*link)->until <= now)
            forget_peer(flow, link);
        else
            link = &(*link)->next;
    }
    for (int at = flow->channels_used - 1; at >= 0; at--)
        if (flow->channels[at]->until <= now) forget_channel(flow, at);
    if (flow->sharing) dp_sharing_expire(flow);
    find_soonest(flow);
}

void dp_flow_refill(struct dp_flow *flow, double elapsed) {
    double gained = (double)flow->max_bps * elapsed;
    /* At most one second's worth is saved up. */
    uint64_t more = gained <= 0                       ? 0
                    : gained >= (double)flow->max_bps ? flow->max_bps
                                                      : (uint64_t)gained;
    uint64_t up = flow->budget_up + more, down = flow->budget_down + more;
    flow->budget_up = up < flow->max_bps ? up : flow->max_bps;
    flow->budget_down = down < flow->max_bps ? down : flow->max_bps;
}
