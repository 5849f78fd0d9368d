#include "relay_model.h"

#include "events.h"

#include <string.h>

#define COOKIE 0x2112A442U

struct model model;

static unsigned read16(const uint8_t *at) {
    return (unsigned)at[0] << 8 | at[1];
}

static uint32_t read32(const uint8_t *at) {
    return (uint32_t)read16(at) << 16 | read16(at + 2);
}

static bool is_six(const union dp_addr *addr) {
    return addr->sa.sa_family == AF_INET6;
}

static uint8_t host_of(const union dp_addr *addr) {
    return is_six(addr) ? addr->in6.sin6_addr.s6_addr[15]
                        : (uint8_t)(ntohl(addr->in.sin_addr.s_addr) & 0xFF);
}

/* What may leave */

static bool counts(const struct model_permission *permission, uint16_t port) {
    return permission->until > 0 && (!permission->some_ports || (permission->ports.first <= port &&
                                                                 port <= permission->ports.last));
}

static bool may_send(const struct model_flow *flow, const union dp_addr *to) {
    uint16_t port = ntohs(to->in.sin_port);
    for (int at = 0; at < HOSTS; at++) {
        const struct model_permission *permission = &flow->permissions[is_six(to)][at];
        if (counts(permission, port) && permission->reached == host_of(to)) return true;
    }
    for (int at = 0; at < NUMBERS; at++) {
        const struct model_channel *channel = &flow->channels[at];
        if (channel->until > 0 && channel->six == is_six(to) && channel->port == port &&
            channel->reached == host_of(to))
            return true;
    }
    return false;
}

/* Whether its client has said it: by its stream, or from its address as it is now. */
static bool is_of(const struct model_flow *flow, const struct origin *origin) {
    union dp_addr client = model_client(flow->listener, flow->client);
    if (origin->fd < 0) return origin->flow == flow->number;
    return !flow->is_stream && model.listener_fds[flow->listener] == origin->fd &&
           dp_addr_same(&client, &origin->from);
}

static void check_up(struct model_flow *flow, const union dp_addr *to, const uint8_t *data,
                     size_t size) {
    const struct origin *origin = traffic_origin(data, size);
    REQUIRE(may_send(flow, to));
    REQUIRE(!origin || is_of(flow, origin));
    flow->sent++;
    flow->sent_octets += size;
}

/* What a client is sent came from a peer of its flow. */
static void check_payload(const struct model_flow *flow, const uint8_t *data, size_t size,
                          const union dp_addr *shown) {
    const struct origin *origin = traffic_origin(data, size);
    if (!origin) return;
    REQUIRE(origin->flow == flow->number && may_send(flow, &origin->from));
    REQUIRE(!shown || shown->in.sin_port == origin->from.in.sin_port);
}

/* Returns what the frame takes without padding. */
static size_t check_channel_data(const struct model_flow *flow, const uint8_t *data, size_t size) {
    REQUIRE(size >= 4);
    unsigned number = read16(data), length = read16(data + 2);
    REQUIRE(number >= FIRST_NUMBER && number < FIRST_NUMBER + NUMBERS);
    const struct model_channel *channel = &flow->channels[number - FIRST_NUMBER];
    REQUIRE(channel->until > 0 && length + 4 <= size);
    REQUIRE(flow->permissions[channel->six][channel->host].until > 0);
    check_payload(flow, data + 4, length, NULL);
    return length + 4;
}

static size_t read_shown(const uint8_t *data, union dp_addr *shown) {
    bool six = data[25] == 2;
    size_t length = six ? 16 : 4;
    uint8_t clear[16];
    REQUIRE(read16(data + 20) == 0x0012 && read16(data + 22) == length + 4);
    for (size_t at = 0; at < length; at++) clear[at] = data[28 + at] ^ data[4 + at];
    *shown = traffic_addr(six, 0, (uint16_t)(read16(data + 26) ^ (COOKIE >> 16)));
    memcpy(six ? (void *)&shown->in6.sin6_addr : (void *)&shown->in.sin_addr, clear, length);
    return 28 + length;
}

static size_t check_indication(const struct model_flow *flow, const uint8_t *data, size_t size) {
    union dp_addr shown;
    REQUIRE(size >= 36 && read16(data) == 0x0017 && read32(data + 4) == COOKIE);
    size_t whole = 20 + read16(data + 2);
    REQUIRE(whole <= size && whole % 4 == 0);
    size_t at = read_shown(data, &shown);
    unsigned type = read16(data + at), length = read16(data + at + 2);
    REQUIRE(host_of(&shown) < HOSTS);
    REQUIRE(flow->permissions[is_six(&shown)][host_of(&shown)].until > 0);
    REQUIRE(at + 4 + ((length + 3) & ~3U) == whole);
    if (type == 0x0013)
        check_payload(flow, data + at + 4, length, &shown);
    else
        REQUIRE(type == 0x8004 && length == 8);
    return whole;
}

static size_t check_frame(const struct model_flow *flow, const uint8_t *data, size_t size) {
    return (data[0] & 0xC0) == 0x40 ? check_channel_data(flow, data, size)
                                    : check_indication(flow, data, size);
}

static void check_down(int listener, const union dp_addr *to, const uint8_t *data, size_t size) {
    int client = ntohs(to->in.sin_port) - CLIENT_PORT;
    model.to_clients++;
    if (model.answering) return;
    REQUIRE(client >= 0 && client < CLIENTS && size);
    const struct model_flow *flow = model_flow_of(listener, client);
    REQUIRE(flow && check_frame(flow, data, size) == size);
}

static void hear(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    for (int at = 0; at < LISTENERS; at++)
        if (model.listener_fds[at] == fd) {
            check_down(at, to, data, size);
            return;
        }
    for (int at = 0; at < FLOWS; at++)
        for (int six = 0; six < 2; six++)
            if (model.flows[at].flow && model.flows[at].fds[six] == fd) {
                check_up(&model.flows[at], to, data, size);
                return;
            }
    sim_fail("what sends is a listener or a flow's relay socket");
}

/* Events */

static void check_joined(const struct dp_event *event) {
    const struct model_flow *flow = NULL;
    size_t at = 0, frames = 0;
    for (int which = 0; which < FLOWS; which++)
        if (model.flows[which].flow && model.flows[which].number == event->owner)
            flow = &model.flows[which];
    /* A flow may end before its events are taken. */
    if (!flow) return;
    for (; at < event->size; frames++) {
        size_t taken = check_frame(flow, event->data + at, event->size - at);
        at += (taken + 3) & ~(size_t)3;
    }
    REQUIRE(at == event->size && frames == event->more);
}

void model_take_events(void) {
    const struct dp_plane *plane = model.plane;
    for (int at = 0; at < plane->events_used; at++) {
        const struct dp_event *event = &plane->events[at];
        REQUIRE(event->data + event->size <= plane->arena + plane->arena_used);
        if (event->kind == DP_TO_STREAM)
            check_joined(event);
        else
            REQUIRE((event->kind == DP_CONTROL || event->kind == DP_SEND) && event->size >= 20 &&
                    event->data[0] < 0x40);
    }
    dp_told(model.plane);
}

/* Counters */

static void check_flow(struct model_flow *flow, const struct dp_counters *counters) {
    REQUIRE(counters->peer_sent_packets == flow->sent);
    REQUIRE(counters->peer_sent_bytes == flow->sent_octets);
    REQUIRE(counters->sent_packets <= counters->peer_received_packets);
    REQUIRE(counters->peer_received_packets <= counters->sent_packets + counters->dropped_packets);
    REQUIRE(counters->peer_sent_packets <= counters->received_packets);
    REQUIRE(counters->received_packets <= counters->peer_sent_packets + counters->dropped_packets);
}

void model_check(void) {
    uint64_t down = model.down;
    struct dp_counters counters;
    REQUIRE(!model.plane->outs_used && !model.plane->pending_used);
    for (int at = 0; at < FLOWS; at++) {
        if (!model.flows[at].flow) continue;
        dp_flow_count(model.flows[at].flow, &counters);
        check_flow(&model.flows[at], &counters);
        if (!model.flows[at].is_stream) down += counters.sent_packets;
    }
    REQUIRE(model.to_clients + dp_turn_unsent(model.turn) == down + model.answers);
}

/* Coming and going */

union dp_addr model_client(int listener, int client) {
    return traffic_addr(listener & 1, 200, (uint16_t)(CLIENT_PORT + client));
}

struct model_flow *model_flow_of(int listener, int client) {
    for (int at = 0; at < FLOWS; at++) {
        struct model_flow *flow = &model.flows[at];
        if (flow->flow && !flow->is_stream && flow->listener == listener && flow->client == client)
            return flow;
    }
    return NULL;
}

void model_open_flow(int at, uint8_t how) {
    struct model_flow *flow = &model.flows[at];
    int listener = how & 1, client = how / 2 % CLIENTS;
    bool is_stream = how & 32;
    if (flow->flow || (!is_stream && model_flow_of(listener, client))) return;
    memset(flow, 0, sizeof *flow);
    flow->fds[0] = flow->fds[1] = -1;
    flow->flow = dp_flow_open(model.turn, how & 64 ? 3000 : 0);
    REQUIRE(flow->flow);
    flow->number = dp_flow_number(flow->flow);
    flow->is_stream = is_stream;
    flow->listener = listener;
    flow->client = client;
    union dp_addr from = model_client(listener, client);
    if (is_stream)
        dp_flow_set_python(flow->flow);
    else
        REQUIRE(!dp_flow_set_udp(flow->flow, model.listeners[listener], &from));
    REQUIRE(dp_flow_find(model.turn, flow->number) == flow->flow);
}

void model_close_flow(int at) {
    struct model_flow *flow = &model.flows[at];
    struct dp_counters counters;
    if (!flow->flow) return;
    dp_flow_close(flow->flow, &counters);
    check_flow(flow, &counters);
    if (!flow->is_stream) model.down += counters.sent_packets;
    flow->flow = NULL;
    REQUIRE(!dp_flow_find(model.turn, flow->number));
}

void model_add_relay(int at, bool six) {
    struct model_flow *flow = &model.flows[at];
    union dp_addr own = traffic_addr(six, 100, (uint16_t)(50000 + at));
    if (!flow->flow || flow->relays[six]) return;
    int fd = sim_udp(&own);
    REQUIRE(fd >= 0);
    flow->fds[six] = fd;
    flow->relays[six] = dp_turn_bind(model.turn, fd);
    REQUIRE(flow->relays[six] && !dp_flow_add_relay(flow->flow, flow->relays[six]));
}

void model_release(int at, bool six) {
    struct model_flow *flow = &model.flows[at];
    if (!flow->flow || !flow->relays[six]) return;
    REQUIRE(!dp_turn_release(model.turn, flow->relays[six]));
    REQUIRE(!sim_is_open(flow->fds[six]));
    flow->relays[six] = 0;
    flow->fds[six] = -1;
    for (int number = 0; number < NUMBERS; number++)
        if (flow->channels[number].six == six) flow->channels[number].until = 0;
}

/* Three of the hosts are reached at their own address, one at another's. */
static uint8_t reached_of(uint8_t host) {
    return host == 3 ? 2 : host;
}

void model_permit(int at, bool six, uint8_t host, uint8_t how, double lifetime) {
    struct model_flow *flow = &model.flows[at];
    if (!flow->flow) return;
    struct model_permission *permission = &flow->permissions[six][host];
    permission->until = model.now + lifetime;
    permission->reached = reached_of(host);
    permission->some_ports = how & 1;
    permission->ports = (struct dp_ports){6000, (uint16_t)(6000 + (how >> 5))};
    struct dp_ports ports[3] = {{1, 1}, {2, 2}, permission->ports};
    if (how & 2) permission->ports = ports[2];
    union dp_addr named = traffic_addr(six, host, 0);
    union dp_addr reached = traffic_addr(six, permission->reached, 0);
    int count = !(how & 1) ? 0 : how & 2 ? 3 : 1;
    REQUIRE(!dp_flow_permit(flow->flow, &named, &reached, count == 1 ? ports + 2 : ports, count,
                            permission->until));
}

void model_bind(int at, uint8_t number, bool six, uint8_t host, uint16_t port, double lifetime) {
    struct model_flow *flow = &model.flows[at];
    if (!flow->flow) return;
    struct model_channel *channel = &flow->channels[number];
    struct model_channel made = {model.now + lifetime, six, host, reached_of(host), port};
    union dp_addr peer = traffic_addr(six, host, port);
    bool same =
        channel->until > 0 && channel->six == six && channel->host == host && channel->port == port;
    bool bound =
        !dp_flow_bind_channel(flow->flow, (uint16_t)(FIRST_NUMBER + number), &peer, made.until);
    REQUIRE(bound == (same || (flow->relays[six] && flow->permissions[six][host].until > 0)));
    if (bound)
        *channel = made;
    else
        channel->until = 0;
}

void model_expire(void) {
    dp_turn_expire(model.turn, model.now);
    for (int at = 0; at < FLOWS; at++) {
        struct model_flow *flow = &model.flows[at];
        for (int host = 0; host < 2 * HOSTS; host++) {
            struct model_permission *permission = &flow->permissions[host & 1][host / 2];
            if (permission->until <= model.now) permission->until = 0;
        }
        for (int number = 0; number < NUMBERS; number++)
            if (flow->channels[number].until <= model.now) flow->channels[number].until = 0;
    }
}

void model_open(void) {
    memset(&model, 0, sizeof model);
    model.now = 1000;
    model.plane = dp_open();
    REQUIRE(model.plane);
    model.turn = dp_turn_open(model.plane);
    REQUIRE(model.turn);
    for (int at = 0; at < LISTENERS; at++) {
        union dp_addr own = traffic_addr(at & 1, 100, 3478);
        model.listener_fds[at] = sim_udp(&own);
        model.listeners[at] = dp_turn_listen(model.turn, model.listener_fds[at]);
        REQUIRE(model.listeners[at]);
    }
    sim_ears = (struct sim_ears){.sent = hear};
}

void model_close(void) {
    for (int at = 0; at < FLOWS; at += 2) model_close_flow(at);
    dp_turn_close(model.turn);
    dp_close(model.plane);
}
