/*
 * The relay against its model: clients and peers talk, flows come and go, the kernel refuses.
 */
#include "input.h"
#include "relay_model.h"

#include <string.h>

#define COOKIE 0x2112A442U
#define MOST 1400
#define FIRST_PORT 6000

static struct input *input;

static void write16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

/* One of a few peers. */
struct peer {
    bool six;
    uint8_t host;
    uint16_t port;
};

static struct peer take_peer(void) {
    uint8_t which = take_u8(input);
    return (struct peer){which & 1, which / 2 % HOSTS, (uint16_t)(FIRST_PORT + which / 8 % 4)};
}

static size_t take_size(void) {
    uint8_t size = take_u8(input);
    return size < 250 ? size : (size_t)(size - 249) * 256 % MOST;
}

/* From clients */

static size_t write_channel_data(uint8_t *to, uint8_t how, size_t size,
                                 const struct origin *origin) {
    size_t declared = how & 0x40 ? size + (how >> 3 & 7) : size;
    write16(to, FIRST_NUMBER + how % (NUMBERS + 1));
    write16(to + 2, (unsigned)declared);
    traffic_tag(to + 4, size, origin);
    return size + 4;
}

static size_t put_attribute(uint8_t *to, unsigned type, size_t size) {
    write16(to, type);
    write16(to + 2, (unsigned)size);
    memset(to + 4, 0, (size + 3) & ~(size_t)3);
    return 4 + ((size + 3) & ~(size_t)3);
}

static size_t put_peer(uint8_t *message, size_t at, struct peer peer, uint8_t how) {
    union dp_addr addr = traffic_addr(peer.six, peer.host, peer.port);
    size_t length = peer.six ? 16 : 4;
    const void *host = peer.six ? (const void *)&addr.in6.sin6_addr : &addr.in.sin_addr;
    size_t used = put_attribute(message + at, 0x0012, how & 4 ? length : length + 4);
    uint8_t *value = message + at + 4;
    value[1] = (uint8_t)(peer.six ? 2 : 1);
    write16(value + 2, peer.port ^ (COOKIE >> 16));
    if (how & 4) return used;
    memcpy(value + 4, host, length);
    for (size_t byte = 0; byte < length; byte++) value[4 + byte] ^= message[4 + byte];
    return used;
}

/* A Send indication, right or nearly so. */
static size_t write_send(uint8_t *to, uint8_t how, size_t size, const struct origin *origin) {
    static const unsigned more[] = {0x001A, 0x8028, 0x0008, 0x7FFF, 0xC001, 0x001C, 0x0006, 0x0024};
    struct peer peer = take_peer();
    size_t at = 20;
    write16(to, 0x0016);
    write16(to + 4, COOKIE >> 16);
    write16(to + 6, COOKIE & 0xFFFF);
    memset(to + 8, 0x5A, 12);
    if (!(how & 8)) at += put_peer(to, at, peer, how);
    if (how & 2) at += put_attribute(to + at, more[how >> 5], how & 16 ? 4 : 0);
    size_t data = at + 4;
    at += put_attribute(to + at, 0x0013, size);
    traffic_tag(to + data, size, origin);
    if ((how & 0xF0) == 0xE0) write16(to + data - 2, (unsigned)size + 1 + how % 16);
    write16(to + 2, (unsigned)(at - 20 + (how == 0xFF ? 4 : 0)));
    return at;
}

static size_t write_frame(uint8_t *to, uint8_t how, size_t size, const struct origin *origin) {
    return how & 1 ? write_channel_data(to, how >> 1, size, origin)
                   : write_send(to, how, size, origin);
}

static void client_says(int which) {
    int listener = which & 1, client = which / 2 % CLIENTS;
    const struct model_flow *flow = model_flow_of(listener, client);
    struct origin origin = {.fd = model.listener_fds[listener],
                            .flow = flow ? flow->number : 0,
                            .from = model_client(listener, client)};
    uint8_t how = take_u8(input);
    uint8_t *room = traffic_room(MOST + 128);
    if (!room) return;
    size_t size = write_frame(room, how, take_size(), &origin);
    sim_arrive(origin.fd, &origin.from, room, size, size);
}

/* What the kernel has joined: equal frames, and a last one that may be shorter. */
static void client_says_all(int which) {
    int listener = which & 1, client = which / 2 % CLIENTS;
    const struct model_flow *flow = model_flow_of(listener, client);
    struct origin origin = {.fd = model.listener_fds[listener],
                            .flow = flow ? flow->number : 0,
                            .from = model_client(listener, client)};
    uint8_t how = take_u8(input) & 0x0F;
    size_t size = take_size(), count = take_u8(input) % 40U + 1;
    uint8_t *room = traffic_room((size + 4) * count);
    size_t at = 0;
    if (!room) return;
    for (size_t done = 0; done < count; done++) {
        size_t one = done + 1 == count && size > 9 ? size - 5 : size;
        at += write_channel_data(room + at, how, one, &origin);
    }
    sim_arrive(origin.fd, &origin.from, room, at, size + 4);
}

static void raw_arrives(int which) {
    size_t size;
    int listener = which & 1;
    uint8_t *raw = traffic_raw(input, take_u8(input), &size);
    union dp_addr from = model_client(listener, which / 2 % CLIENTS);
    if (raw) sim_arrive(model.listener_fds[listener], &from, raw, size, size);
}

/* A frame of a stream that Python reads. */
static void stream_says(int at) {
    const struct model_flow *flow = &model.flows[at % FLOWS];
    struct origin origin = {.fd = -1, .flow = flow->flow ? flow->number : 0};
    uint8_t how = take_u8(input);
    uint8_t *room = traffic_room(MOST + 128);
    if (!room) return;
    size_t size = write_frame(room, how, take_size(), &origin);
    dp_flow_from_client(model.turn, flow->flow, room, size);
    dp_flush(model.plane);
}

/* What Python has read and checked itself. */
static void python_sends(int at) {
    struct model_flow *flow = &model.flows[at % FLOWS];
    struct peer peer = take_peer();
    size_t size = take_size();
    uint8_t *room = traffic_room(size);
    if (!flow->flow || !room) return;
    struct origin origin = {.fd = -1, .flow = flow->number};
    union dp_addr to = traffic_addr(peer.six, peer.host, peer.port);
    traffic_tag(room, size, &origin);
    dp_flow_send(flow->flow, &to, room, size, size & 1);
    dp_flush(model.plane);
}

/* From peers */

static void peer_says(int at) {
    struct peer peer = take_peer();
    const struct model_flow *flow = &model.flows[at % FLOWS];
    size_t size = take_size(), count = take_u8(input), all = 0;
    if (!flow->flow || flow->fds[peer.six] < 0) return;
    count = count < 0xC0 ? 1 : count & 0x3F;
    uint8_t *room = traffic_room(size * count);
    if (!room) return;
    struct origin origin = {.fd = flow->fds[peer.six],
                            .flow = flow->number,
                            .from = traffic_addr(peer.six, peer.host, peer.port)};
    for (size_t done = 0; done < count; done++) {
        size_t one = done && done + 1 == count && size > 9 ? size - 5 : size;
        traffic_tag(room + all, one, &origin);
        all += one;
    }
    sim_arrive(origin.fd, &origin.from, room, all, size);
}

static void peer_is_unreachable(int at) {
    struct peer peer = take_peer();
    uint8_t what = take_u8(input);
    const struct model_flow *flow = &model.flows[at % FLOWS];
    if (!flow->flow) return;
    struct sim_icmp icmp = {.peer = traffic_addr(peer.six, peer.host, peer.port),
                            .error = 111,
                            .info = what,
                            .origin = (uint8_t)(peer.six   ? 3
                                                : what & 1 ? 2
                                                           : 1),
                            .type = (uint8_t)(what & 2 ? what >> 4 : 3),
                            .code = what & 15};
    sim_icmp(flow->fds[peer.six], &icmp);
}

/* The rest */

static void drain(void) {
    REQUIRE(dp_drain(model.plane, model.now) == model.plane->events_used);
    model_check();
}

static void answer(int which) {
    static const uint8_t message[20] = {1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    union dp_addr to = model_client(which & 1, which / 2 % CLIENTS);
    model.answering = true;
    model.answers++;
    dp_turn_answer(model.turn, model.listeners[which & 1], &to, message, sizeof message);
    model.answering = false;
}

static void stop_listening(int at) {
    uint64_t number = model.listeners[at];
    if (model.listener_fds[at] < 0) return;
    REQUIRE(!dp_turn_stop_listening(model.turn, number));
    REQUIRE(dp_turn_stop_listening(model.turn, number) == -1);
    model.listener_fds[at] = -1;
}

/* What arrives is for the listener's descriptor, which another socket must not have got. */
static void plan(uint8_t what) {
    uint8_t result = take_u8(input);
    if (what & 1)
        sim_plan_send(result);
    else if (what & 2)
        sim_plan_receive(result & 3 ? 0 : result >> 4);
    else if (what & 4)
        sim_plan_options(result & 3);
    else if (what & 8)
        sim_error(model.listener_fds[result & 1], sim_errno_of(result >> 4));
    else
        stop_listening(result & 1);
}

static void permit(int at) {
    uint8_t which = take_u8(input), how = take_u8(input);
    model_permit(at, which & 1, which / 2 % HOSTS, how, which >> 3);
}

static void bind_channel(int at) {
    struct peer peer = take_peer();
    uint8_t how = take_u8(input);
    model_bind(at, how % NUMBERS, peer.six, peer.host, peer.port, how >> 2);
}

static void come_or_go(int at) {
    uint8_t how = take_u8(input);
    if (how & 0x80)
        model_close_flow(at);
    else if (model.listener_fds[how & 1] >= 0 || how & 32)
        model_open_flow(at, how);
}

static void set_up(int at) {
    uint8_t how = take_u8(input);
    if (how & 0x80)
        model_release(at, how & 1);
    else
        model_add_relay(at, how & 1);
}

static void pass_time(void) {
    model.now += take_u8(input) * 0.25;
    model_expire();
}

static void step(void) {
    uint8_t what = take_u8(input);
    int which = what >> 4, at = which % FLOWS;
    /* Python has taken the events before it changes anything. */
    if ((what & 15) < 4 || (what & 15) == 15) model_take_events();
    switch (what & 15) {
    case 0:
        come_or_go(at);
        break;
    case 1:
        set_up(at);
        break;
    case 2:
        permit(at);
        break;
    case 3:
        bind_channel(at);
        break;
    case 4:
        client_says(which);
        break;
    case 5:
        client_says_all(which);
        break;
    case 6:
        raw_arrives(which);
        break;
    case 7:
        stream_says(which);
        break;
    case 8:
        python_sends(which);
        break;
    case 9:
    case 10:
        peer_says(which);
        break;
    case 11:
        peer_is_unreachable(which);
        break;
    case 12:
        plan((uint8_t)which);
        break;
    case 13:
        drain();
        break;
    case 14:
        answer(which);
        break;
    default:
        if (which & 1) pass_time();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input program = {data, size};
    input = &program;
    sim_reset();
    traffic_reset();
    model_open();
    while (program.left) step();
    drain();
    model_take_events();
    model_close();
    return 0;
}
