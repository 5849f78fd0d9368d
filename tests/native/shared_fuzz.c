/*
 * Shared relay sockets: flows that name each other, checks of ICE, and what is left when all end.
 */
#include "input.h"
#include "kernel.h"
#include "relay.h"
#include "traffic.h"

#include <stdlib.h>
#include <string.h>

#define FLOWS 6
#define HOMES 3
#define HOSTS 3
#define NUMBERS 4
#define FIRST_NUMBER 0x4000
#define FIRST_PORT 6000
#define CLIENT_PORT 7000
#define SHARED_HOST 1 /* the sockets' own, which is a peer like others */
#define MOST 600

static struct input *input;
static struct dp_plane *plane;
static struct dp_turn *turn;
static uint64_t listener;
static int listener_fd;
static uint64_t homes[HOMES];
static int home_fds[HOMES];
static struct dp_flow *flows[FLOWS];
static uint64_t numbers[FLOWS];
static double permitted[FLOWS][HOSTS]; /* until; 0: not */
static double bound[FLOWS][HOSTS];     /* some channel to the host */
static uint64_t sent[FLOWS];
static double now;

static void write16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* One of a few peers; the first host is where the shared sockets are. */
static union dp_addr peer_of(uint8_t which) {
    uint16_t port = (uint16_t)(FIRST_PORT + which / 4 % HOMES);
    return traffic_addr(false, (uint8_t)(SHARED_HOST + which % HOSTS), port);
}

static int host_of(const union dp_addr *addr) {
    return (int)(ntohl(addr->in.sin_addr.s_addr) & 0xFF) - SHARED_HOST;
}

static union dp_addr client_of(int at) {
    return traffic_addr(false, 200, (uint16_t)(CLIENT_PORT + at));
}

/* What leaves */

static int flow_of(uint64_t number) {
    for (int at = 0; at < FLOWS; at++)
        if (flows[at] && numbers[at] == number) return at;
    return -1;
}

static bool may(int at, int host) {
    return host >= 0 && host < HOSTS && (permitted[at][host] > 0 || bound[at][host] > 0);
}

static void check_up(const union dp_addr *to, const uint8_t *data, size_t size) {
    const struct origin *origin = traffic_origin(data, size);
    bool allowed = false;
    for (int at = 0; at < FLOWS; at++) allowed |= flows[at] && may(at, host_of(to));
    REQUIRE(allowed);
    if (!origin || origin->fd != listener_fd) return;
    int client = ntohs(origin->from.in.sin_port) - CLIENT_PORT;
    REQUIRE(flows[client] && may(client, host_of(to)));
    sent[client]++;
}

static void check_down(const union dp_addr *to, const uint8_t *data, size_t size) {
    int at = ntohs(to->in.sin_port) - CLIENT_PORT;
    REQUIRE(at >= 0 && at < FLOWS && flows[at] && size >= 4);
    size_t head = data[0] >= 0x40 ? 4 : 36;
    bool is_icmp = size >= 36 && data[0] == 0 && data[32] == 0x80;
    REQUIRE(size >= head);
    if (is_icmp) return;
    size_t length = (size_t)data[head - 2] << 8 | data[head - 1];
    REQUIRE(head + length <= size);
    const struct origin *origin = traffic_origin(data + head, length);
    if (origin && origin->fd != listener_fd) REQUIRE(permitted[at][host_of(&origin->from)] > 0);
}

static void hear(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    if (fd == listener_fd)
        check_down(to, data, size);
    else
        check_up(to, data, size);
}

/* Packets */

/* A Binding request of ICE from one of a few to another. */
static size_t write_check(uint8_t *to, uint8_t how) {
    static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};
    uint8_t name[5] = {'a', (uint8_t)('a' + how % 4), ':', 'a', (uint8_t)('a' + how / 4 % 4)};
    size_t size = how & 0x40 ? 0 : how & 0x80 ? 2 : sizeof name;
    memset(to, 0, 32);
    write16(to, 0x0001);
    write16(to + 2, how == 0xFF ? 8 : 12);
    memcpy(to + 4, cookie, sizeof cookie);
    write16(to + 20, 0x0006);
    write16(to + 22, how == 0xFE ? 60 : size);
    memcpy(to + 24, name, sizeof name);
    return 32;
}

static size_t write_payload(uint8_t *to, const struct origin *origin) {
    uint8_t how = take_u8(input);
    if (how & 1) return write_check(to, take_u8(input));
    size_t size = how < 0xF0 ? how : (size_t)how % 16 * 30;
    traffic_tag(to, size, origin);
    return size;
}

static size_t write_send(uint8_t *to, const union dp_addr *peer, const struct origin *origin) {
    static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};
    size_t size = write_payload(to + 36, origin), padded = (size + 3) & ~(size_t)3;
    write16(to, 0x0016);
    write16(to + 2, 16 + padded);
    memcpy(to + 4, cookie, sizeof cookie);
    memset(to + 8, 0x77, 12);
    write16(to + 20, 0x0012);
    write16(to + 22, 8);
    write16(to + 24, 1);
    write16(to + 26, ntohs(peer->in.sin_port) ^ 0x2112U);
    for (size_t at = 0; at < 4; at++)
        to[28 + at] = ((const uint8_t *)&peer->in.sin_addr)[at] ^ cookie[at];
    write16(to + 32, 0x0013);
    write16(to + 34, size);
    return 36 + padded;
}

static void client_says(int at) {
    uint8_t how = take_u8(input);
    uint8_t *room = traffic_room(MOST);
    struct origin origin = {.fd = listener_fd, .flow = numbers[at], .from = client_of(at)};
    union dp_addr peer = peer_of(how);
    size_t size;
    if (!room || !flows[at]) return;
    if (how & 0x80) {
        size = write_send(room, &peer, &origin);
    } else {
        size_t payload = write_payload(room + 4, &origin);
        write16(room, FIRST_NUMBER + (size_t)how % NUMBERS);
        write16(room + 2, payload);
        size = payload + 4;
    }
    sim_arrive(listener_fd, &origin.from, room, size, size);
}

static void peer_says(uint8_t which) {
    union dp_addr from = peer_of(take_u8(input));
    int home = which % HOMES;
    uint8_t *room = traffic_room(MOST);
    struct origin origin = {.fd = home_fds[home], .from = from};
    if (!room || home_fds[home] < 0 || host_of(&from) == 0) return;
    if (which & 8) {
        struct sim_icmp icmp = {.peer = from, .error = 111, .origin = 2, .type = 3, .code = 3};
        sim_icmp(home_fds[home], &icmp);
        return;
    }
    size_t size = write_payload(room, &origin);
    sim_arrive(home_fds[home], &from, room, size, size);
}

/* Coming and going */

static void open_home(int at) {
    union dp_addr own = traffic_addr(false, SHARED_HOST, (uint16_t)(FIRST_PORT + at));
    if (home_fds[at] >= 0) return;
    home_fds[at] = sim_udp(&own);
    homes[at] = dp_turn_bind_shared(turn, home_fds[at]);
    REQUIRE(homes[at]);
}

static void open_flow(int at, uint8_t how) {
    union dp_addr client = client_of(at);
    if (flows[at] || home_fds[how % HOMES] < 0) return;
    flows[at] = dp_flow_open(turn, 0);
    REQUIRE(flows[at] && !dp_flow_share(flows[at], how >> 5));
    numbers[at] = dp_flow_number(flows[at]);
    memset(permitted[at], 0, sizeof permitted[at]);
    memset(bound[at], 0, sizeof bound[at]);
    sent[at] = 0;
    REQUIRE(!dp_flow_add_relay(flows[at], homes[how % HOMES]));
    REQUIRE(!dp_flow_set_udp(flows[at], listener, &client));
}

static void close_flow(int at) {
    struct dp_counters counters;
    if (!flows[at]) return;
    dp_flow_close(flows[at], &counters);
    REQUIRE(sent[at] <= counters.peer_sent_packets);
    flows[at] = NULL;
    REQUIRE(flow_of(numbers[at]) < 0);
}

static void permit(int at) {
    uint8_t how = take_u8(input);
    union dp_addr host = peer_of(how);
    host.in.sin_port = 0;
    if (!flows[at]) return;
    permitted[at][host_of(&host)] = now + (how >> 3);
    REQUIRE(!dp_flow_permit(flows[at], &host, &host, NULL, 0, now + (how >> 3)));
}

static void bind_channel(int at) {
    uint8_t which = take_u8(input), how = take_u8(input);
    union dp_addr peer = peer_of(which);
    double until = now + (how >> 2);
    if (!flows[at]) return;
    if (dp_flow_claim(flows[at], &peer)) return;
    if (dp_flow_bind_channel(flows[at], (uint16_t)(FIRST_NUMBER + how % NUMBERS), &peer, until))
        return;
    if (bound[at][host_of(&peer)] < until) bound[at][host_of(&peer)] = until;
}

static void pass_time(void) {
    now += take_u8(input) * 0.25;
    dp_turn_expire(turn, now);
    for (int at = 0; at < FLOWS * HOSTS; at++) {
        double *each[2] = {&permitted[at / HOSTS][at % HOSTS], &bound[at / HOSTS][at % HOSTS]};
        for (int which = 0; which < 2; which++)
            if (*each[which] <= now) *each[which] = 0;
    }
}

static void close_something(int at) {
    uint8_t how = take_u8(input);
    int home = how % HOMES;
    if (how & 0x80) {
        close_flow(at);
    } else if (how & 0x40 && home_fds[home] >= 0) {
        REQUIRE(!dp_turn_release(turn, homes[home]));
        home_fds[home] = -1;
    } else if (flows[at] && how & 0x20) {
        dp_flow_drop_relay(flows[at], homes[home]);
    } else if (flows[at]) {
        union dp_addr peer = peer_of(how);
        dp_flow_want(flows[at], &peer);
    }
}

static void drain(void) {
    dp_drain(plane, now);
    REQUIRE(!plane->outs_used);
    dp_told(plane);
}

static void step(void) {
    uint8_t what = take_u8(input);
    int at = (what >> 4) % FLOWS;
    switch (what & 15) {
    case 0:
    case 1:
        open_flow(at, take_u8(input));
        break;
    case 2:
        open_home(at % HOMES);
        break;
    case 3:
        permit(at);
        break;
    case 4:
        bind_channel(at);
        break;
    case 5:
    case 6:
    case 7:
        client_says(at);
        break;
    case 8:
    case 9:
        peer_says(what >> 4);
        break;
    case 10:
        close_something(at);
        break;
    case 11:
        pass_time();
        break;
    case 12:
        sim_plan_send(take_u8(input));
        break;
    default:
        drain();
    }
}

static void begin(void) {
    union dp_addr own = traffic_addr(false, 100, 3478);
    now = 1000;
    plane = dp_open();
    turn = plane ? dp_turn_open(plane) : NULL;
    REQUIRE(turn);
    listener_fd = sim_udp(&own);
    listener = dp_turn_listen(turn, listener_fd);
    REQUIRE(listener);
    for (int at = 0; at < HOMES; at++) home_fds[at] = -1;
    for (int at = 0; at < HOMES; at++) open_home(at);
    sim_ears = (struct sim_ears){.sent = hear};
}

/* Nothing is left of flows that are over. */
static void end(void) {
    size_t left = 1;
    for (int at = 0; at < FLOWS; at++) close_flow(at);
    for (int at = 0; at < HOMES; at++) left += home_fds[at] >= 0 ? 2 : 0;
    struct dp_shared_totals totals = dp_turn_totals(turn);
    REQUIRE(dp_turn_entries(turn) == left && !totals.pairs && !totals.links);
    dp_turn_close(turn);
    dp_close(plane);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input program = {data, size};
    input = &program;
    sim_reset();
    traffic_reset();
    begin();
    while (program.left) step();
    drain();
    end();
    return 0;
}
