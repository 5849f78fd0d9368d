/*
 * Media against what may be heard of whom: packets true and false, keys, joints and other terms.
 */
#include "input.h"
#include "media_model.h"

#include <stdlib.h>
#include <string.h>

#define MOST 1600
#define LONG_STEP ((DP_RTP_LARGEST - DP_RTP_HEADER) / 16)

static struct input *input;

static void write16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void write32(uint8_t *at, uint32_t value) {
    write16(at, value >> 16);
    write16(at + 2, value & 0xFFFF);
}

/* Packets */

/* How a packet is made; what is wrong with it is said there, too. */
struct shape {
    uint8_t how;
    uint8_t lies;
    uint8_t type;
    uint16_t sequence;
    uint8_t source;
    size_t payload;
};

static struct shape take_shape(void) {
    struct shape shape;
    shape.how = take_u8(input);
    shape.type = take_u8(input);
    shape.sequence = take_u8(input);
    if (shape.sequence >= 0xC0) shape.sequence = (uint16_t)(shape.sequence << 8 | take_u8(input));
    shape.source = take_u8(input);
    shape.payload = take_u8(input);
    /* The longest one fills what SRTP takes, and with padding it is beyond that. */
    if (shape.payload >= 240) shape.payload = (shape.payload - 239) * LONG_STEP;
    shape.lies = shape.how & 0x80 ? take_u8(input) : 0;
    return shape;
}

static size_t write_rtp(uint8_t *to, const struct shape *shape, int end) {
    size_t sources = shape->how & 3, at = DP_RTP_HEADER + 4 * sources;
    struct origin origin = {.fd = media_fd(end)};
    memset(to, 0x11, at);
    to[0] = (uint8_t)(0x80 | sources);
    to[1] = (uint8_t)(FIRST_TYPE + shape->type % (TYPES + 1) + (shape->type & 0x80));
    write16(to + 2, shape->sequence);
    write32(to + 4, shape->sequence * 160U);
    write32(to + 8, 0x5000U + shape->source % 4);
    if (shape->how & 4) {
        to[0] |= 0x10;
        write16(to + at, 0xBEDE);
        write16(to + at + 2, 1);
        memset(to + at + 4, 0, 4);
        at += 8;
    }
    if (shape->lies)
        memset(to + at, 0x22, shape->payload);
    else
        traffic_tag(to + at, shape->payload, &origin);
    at += shape->payload;
    if (shape->how & 8) {
        to[0] |= 0x20;
        memset(to + at, 4, 4);
        at += 4;
    }
    return at;
}

static size_t lie(uint8_t *packet, const struct shape *shape, size_t size) {
    if (shape->lies & 1) packet[0] |= 0x0F;
    if (shape->lies & 2) packet[size - 1] = 0xFF;
    if (shape->lies & 4) packet[0] |= 0x30;
    if (shape->lies & 8) packet[0] ^= 0x40;
    if (shape->lies & 16) packet[1] = (uint8_t)(192 + shape->type % 32);
    return shape->lies & 32 && shape->lies >> 6 < 3 ? size % (DP_RTP_HEADER + 12) : size;
}

/* A packet as it comes over the wire, ciphered where that is wanted. */
static size_t write_packet(uint8_t *to, const struct shape *shape, int at) {
    const struct dp_srtp *srtp = &media.ends[at].end->way->srtp;
    size_t size = lie(to, shape, write_rtp(to, shape, at));
    struct srtp_session *session = media_receives(at);
    media.doubtful += shape->lies || shape->how & 8 || srtp->wanted;
    if (!srtp->wanted || !session->key || size < DP_RTP_HEADER || shape->how & 0x40) return size;
    int length = (int)size;
    REQUIRE(!srtp_stand_in_protect(session, to, &length));
    return (size_t)length;
}

static void packet_arrives(int at) {
    struct shape shape = take_shape();
    uint8_t from = take_u8(input);
    uint8_t *room = traffic_room(MOST);
    if (!media.ends[at].end || !room) return;
    union dp_addr addr = media_addr((uint8_t)(1 + from % HOSTS), from >> 4);
    size_t size = write_packet(room, &shape, at);
    sim_arrive(media_fd(at), &addr, room, size, size);
}

/* Packets one after another that the kernel has joined. */
static void packets_arrive(int at) {
    struct shape shape = take_shape();
    uint8_t from = take_u8(input), count = take_u8(input) % 70;
    uint8_t *room = traffic_room((size_t)MOST * (count + 1U));
    if (!media.ends[at].end || !room) return;
    union dp_addr addr = media_addr((uint8_t)(1 + from % HOSTS), from >> 4);
    size_t size = write_packet(room, &shape, at), all = size;
    for (; count; count--) {
        shape.sequence++;
        all += write_packet(room + all, &shape, at);
    }
    if (all <= DP_LARGEST - 28) sim_arrive(media_fd(at), &addr, room, all, size);
}

static void raw_arrives(int at) {
    size_t size;
    uint8_t how = take_u8(input);
    uint8_t *raw = traffic_raw(input, how >> 2, &size);
    if (!media.ends[at].end || !raw) return;
    union dp_addr addr = media_addr((uint8_t)(1 + how % HOSTS), 0);
    if (size > 12 && media.ends[at].end->way->srtp.wanted) raw[8] |= 0x80;
    media.doubtful++;
    bool control = media.ends[at].plain && how & 1;
    sim_arrive(control ? media.ends[at].fds[1] : media_fd(at), &addr, raw, size, size);
}

/* Media of a browser that came over its relay. */
static void relayed_arrives(int at) {
    struct shape shape = take_shape();
    uint8_t *room = traffic_room(MOST);
    const struct model_end *end = &media.ends[at];
    if (!end->end || end->plain || !room) return;
    size_t size = write_packet(room, &shape, at);
    uint8_t *copy = malloc(size ? size : 1);
    REQUIRE(copy);
    memcpy(copy, room, size);
    media.taken++;
    dp_transport_arrived(media.plane, media.transports[end->transport].transport, copy, size,
                         media.now);
    free(copy);
    media_check();
}

/* Terms */

static void aim(int at) {
    uint8_t where = take_u8(input);
    struct model_end *end = &media.ends[at];
    if (!end->end || !end->plain) return;
    union dp_addr remote = media_addr((uint8_t)(where & 3), where >> 4);
    end->remote = where & 3;
    dp_latch_aim(&end->plain->way.latch, end->remote ? &remote : NULL, media.now);
    remote = media_addr((uint8_t)(where & 3), 15);
    dp_latch_aim(&end->plain->control_latch, where & 4 ? &remote : NULL, media.now);
    end->plain->mux = where & 8;
}

static void set_way(int at) {
    uint8_t where = take_u8(input);
    struct model_transport *on = &media.transports[at % TRANSPORTS];
    if (!on->transport) return;
    struct dp_latch *latch = &on->transport->way.latch;
    on->target = media_addr((uint8_t)(1 + where % HOSTS), where >> 4);
    on->has_way = latch->has_source = latch->has_target = !(where & 4);
    latch->source = latch->target = on->target;
    on->transport->way.out = where & 8 ? NULL : &on->socket->socket;
    union dp_addr valid[2] = {on->target, media_addr(1, 0)};
    REQUIRE(dp_web_set_valid(on->socket, valid, where % 3));
    on->socket->transport = where == 0xF0 ? NULL : on->transport;
}

static void set_terms(int at) {
    uint8_t how = take_u8(input);
    struct dp_end *end = media.ends[at].end;
    if (!end) return;
    end->sends = how & 1;
    end->receives = how & 2;
    end->numbers[FIRST_TYPE].mapped = how & 4 ? DP_NOT_MAPPED : FIRST_TYPE;
    end->numbers[EVENT_TYPE].here = how & 8 ? 8000 : 0;
    REQUIRE(dp_end_keep(end, how & 16));
    REQUIRE(dp_end_miss(end, how & 32, 0.05));
    end->traced = how & 64;
    end->traces_drops = how & 128;
    end->trace_due[0] = end->trace_due[1] = how & 1 ? 0 : media.now + 1;
}

static void come_or_go(int at) {
    uint8_t how = take_u8(input);
    if (how & 0x80 && at < PLAINS && how & 1)
        media_close_transport(how / 2 % TRANSPORTS);
    else if (how & 0x80)
        media_close_end(at);
    else if (at < PLAINS)
        media_open_plain(at);
    else if (how & 1)
        media_open_transport(how / 2 % TRANSPORTS);
    else
        media_open_on(at, how / 2 % TRANSPORTS);
}

/* What Python sends */

static void send_own(int at) {
    uint8_t how = take_u8(input);
    struct model_end *end = &media.ends[at];
    uint8_t payload[170] = {0};
    if (!end->end) return;
    media.own = true;
    dp_end_send_own(media.plane, end->end, (uint8_t)(how & 0x7F), payload, how % sizeof payload,
                    160, media.now, 8000);
    media_check();
    media.own = false;
}

static void say(struct dp_end *end, uint8_t how) {
    static const char name[300] = "name";
    const struct dp_opening opening = {.is_sender = how & 1, .last_report = how};
    uint8_t *room = malloc(DP_COMPOUND_MOST);
    REQUIRE(room);
    size_t size =
        dp_end_compound(end, &opening, media.now, name, (size_t)how + (how & 2 ? 40 : 0), room);
    REQUIRE(size <= DP_COMPOUND_MOST && size % 4 == 0);
    free(room);
}

static void ask(int at) {
    uint8_t sequence = take_u8(input);
    struct dp_end *end = media.ends[at].end;
    struct dp_reception reception;
    if (!end) return;
    dp_incoming_report(&end->incoming, &reception);
    say(end, sequence);
    dp_outgoing_source_sequence(&end->outgoing, sequence);
    dp_outgoing_timestamp_at(&end->outgoing, media.now);
    if (end->missing) dp_missing_want(end->missing, (uint32_t)end->missing->ssrc, sequence);
    if (!end->kept) return;
    int place = dp_kept_again(end->kept, sequence, media.now);
    if (place < 0) return;
    REQUIRE(dp_kept_has(end->kept, sequence) && end->kept->sizes[place] <= DP_KEPT_LONGEST);
    uint8_t again[DP_KEPT_LONGEST];
    memcpy(again, end->kept->packets[place], end->kept->sizes[place]);
    media.own = true;
    uint64_t before = media.ends[at].heard;
    dp_way_put(media.plane, end->way, again, end->kept->sizes[place]);
    media.ends[at].heard = before;
    media_check();
    media.own = false;
}

/* Joined packets come after many of a size; this is the short way there. */
static void join_packets(int at) {
    const struct model_end *end = &media.ends[at];
    if (!end->end) return;
    struct dp_socket *socket =
        end->plain ? &end->plain->rtp.socket : &media.transports[end->transport].socket->socket;
    sim_join(media_fd(at));
    socket->gro = true;
    socket->trains = 32;
}

static void plan(int at) {
    uint8_t what = take_u8(input), result = take_u8(input);
    if (what & 8)
        join_packets(at);
    else if (what & 1)
        sim_plan_receive(result & 15);
    else if (what & 2)
        sim_plan_options(result & 3);
    else
        sim_plan_send(result);
}

static void drain(void) {
    media.now += 0.01;
    dp_drain(media.plane, media.now);
    media_check();
}

static void step(void) {
    uint8_t what = take_u8(input);
    int at = (what >> 4) % ENDS;
    /* Python has taken the events before it changes anything. */
    media_check();
    switch (what & 15) {
    case 0:
    case 1:
        come_or_go(at);
        break;
    case 2:
        if (at < PLAINS)
            aim(at);
        else
            set_way(at);
        break;
    case 3:
        set_terms(at);
        break;
    case 4:
        media_join(at, take_u8(input) % ENDS);
        break;
    case 5:
        media_set_keys(at, take_u8(input));
        break;
    case 6:
    case 7:
        packet_arrives(at);
        break;
    case 8:
        packets_arrive(at);
        break;
    case 9:
        raw_arrives(at);
        break;
    case 10:
        relayed_arrives(at);
        break;
    case 11:
        send_own(at);
        break;
    case 12:
        ask(at);
        break;
    case 13:
        plan(at);
        break;
    case 14:
        media.now += take_u8(input) * 0.05;
        break;
    default:
        drain();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input program = {data, size};
    input = &program;
    sim_reset();
    traffic_reset();
    media_open();
    while (program.left) step();
    drain();
    media_close();
    return 0;
}
