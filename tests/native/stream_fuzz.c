/*
 * Streams against their model: frames in any pieces, slow readers, TLS, and sudden ends.
 */
#include "input.h"
#include "stream_model.h"

#include <errno.h>
#include <string.h>

#define MOST 3000
#define PIECES 30

static struct input *input;

static void write16(uint8_t *at, size_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static size_t take_size(void) {
    uint8_t size = take_u8(input);
    return size < 240 ? size : (size_t)(size - 239) * 180;
}

/* Frames */

static size_t write_stun(uint8_t *to, unsigned type, size_t size) {
    static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};
    size &= ~(size_t)3;
    write16(to, type);
    write16(to + 2, size);
    memcpy(to + 4, cookie, sizeof cookie);
    memset(to + 8, 0x33, 12 + size);
    return 20 + size;
}

static size_t write_send(uint8_t *to, size_t size, const struct origin *origin) {
    size_t padded = (size + 3) & ~(size_t)3;
    write_stun(to, 0x0016, 16 + padded);
    write16(to + 20, 0x0012);
    write16(to + 22, 8);
    write16(to + 24, 1);
    write16(to + 26, PEER_PORT ^ 0x2112);
    uint32_t host = htonl(0x0A000000U | PEER_HOST);
    memcpy(to + 28, &host, 4);
    for (size_t at = 0; at < 4; at++) to[28 + at] ^= to[4 + at];
    write16(to + 32, 0x0013);
    write16(to + 34, size);
    traffic_tag(to + 36, size, origin);
    memset(to + 36 + size, 0, padded - size);
    return 36 + padded;
}

static size_t write_channel_data(uint8_t *to, unsigned number, size_t size,
                                 const struct origin *origin) {
    size_t padded = (size + 3) & ~(size_t)3;
    write16(to, number);
    write16(to + 2, size);
    traffic_tag(to + 4, size, origin);
    memset(to + 4 + size, 0, padded - size);
    return 4 + padded;
}

static size_t write_frame(uint8_t *to, const struct client *client) {
    uint8_t how = take_u8(input);
    size_t size = take_size();
    struct origin origin = {.fd = client->fd, .flow = client->flow_number};
    switch (how & 3) {
    case 0:
        return write_stun(to, 0x0003 + (how >> 4), size);
    case 1:
        return write_send(to, size, &origin);
    default:
        return write_channel_data(to, NUMBER + (how >> 6), size, &origin);
    }
}

static size_t write_frames(uint8_t *to, const struct client *client) {
    size_t used = 0;
    for (int left = take_u8(input) % 8; left >= 0; left--) used += write_frame(to + used, client);
    return used;
}

/* Bytes that come, in pieces */

static void deliver(const struct client *client, const uint8_t *bytes, size_t size) {
    size_t piece = take_u8(input);
    uint8_t *records = NULL;
    if (client->is_tls) {
        size_t most = take_u8(input) * 64U + 1;
        records = traffic_room(size + TLS_RECORD_HEAD * (size / most + 1));
        if (!records) return;
        size = tls_wrap(records, bytes, size, most);
        bytes = records;
    }
    size_t first = piece > size / PIECES ? piece : size / PIECES + 1;
    for (size_t at = 0; at < size; at += first)
        sim_stream(client->fd, bytes + at, size - at < first ? size - at : first);
}

/* A piece that has no room would be a hole in the stream. */
static bool has_room(const struct client *client) {
    return client->stream && client->stream->state != DP_STREAM_GONE &&
           sim_room(client->fd) > PIECES + 1;
}

static void says(struct client *client) {
    uint8_t *room = traffic_room(8 * (MOST + 64));
    if (!room || !has_room(client)) return;
    size_t size = write_frames(room, client);
    deliver(client, room, size);
}

static void says_raw(struct client *client) {
    size_t size;
    uint8_t *raw = traffic_raw(input, take_u8(input), &size);
    if (raw && size && has_room(client)) deliver(client, raw, size);
}

static void is_fed(struct client *client) {
    uint8_t *room = traffic_room(8 * (MOST + 64));
    if (!room || !client->stream || client->stream->state != DP_STREAM_LIVE || client->dead) return;
    size_t size = write_frames(room, client);
    if (client->said.size > 0 && client->is_tls) return;
    client_said(client, room, size);
    dp_stream_feed(client->stream, room, size);
    world_take_events();
}

static void ends(struct client *client) {
    uint8_t how = take_u8(input);
    if (!client->stream || client->stream->state == DP_STREAM_GONE) return;
    if (how & 1)
        sim_stream(client->fd, NULL, 0);
    else if (how & 2)
        sim_error(client->fd, ECONNRESET);
    else if (how & 4)
        client->tls.fails = true;
    else
        sim_writable(client->fd, how & 8);
}

/* From peers and from Python */

static void peer_says(const struct client *client) {
    size_t size = take_size();
    uint8_t how = take_u8(input);
    uint8_t *room = traffic_room(size);
    if (!client->flow || !room) return;
    struct origin origin = {.fd = client->relay_fd,
                            .flow = client->flow_number,
                            .from =
                                traffic_addr(false, PEER_HOST, (uint16_t)(PEER_PORT + (how & 1)))};
    size_t segment = how & 2 ? size / 5 + 1 : size;
    for (size_t at = 0; at < size; at += segment)
        traffic_tag(room + at, size - at < segment ? size - at : segment, &origin);
    sim_arrive(origin.fd, &origin.from, room, size, segment);
}

static void python_does(struct client *client) {
    uint8_t how = take_u8(input);
    if (!client->stream) return;
    world_take_events();
    if (how < 0xC0) {
        client_answer(client, how);
    } else if (how < 0xD0) {
        client->closing = client->dead = true;
        bool gone = dp_stream_close(client->stream);
        REQUIRE(gone == (client->stream->state == DP_STREAM_GONE));
    } else if (how < 0xE0) {
        client->dead = true;
        dp_stream_abort(client->stream);
        REQUIRE(client->stream->state == DP_STREAM_GONE);
    } else if (how < 0xF0) {
        client_free(client);
    } else if (!(how & 1)) {
        client->strange = false;
        dp_stream_set_stranger(client->stream, false);
    }
}

static void drain(void) {
    dp_drain(world.plane, world.now);
    REQUIRE(!world.plane->outs_used);
    world_take_events();
}

static void pass_time(void) {
    world.now += take_u8(input) * 0.125;
    dp_streams_expire(world.streams, world.now, 20);
    world_take_events();
}

static void come_or_go(int at) {
    uint8_t how = take_u8(input);
    if (how & 0x40)
        client_allocate(at);
    else if (how & 0x80)
        client_deallocate(at);
    else
        client_open(at, how);
}

static void plan(void) {
    uint8_t what = take_u8(input);
    uint8_t result = take_u8(input);
    if (what & 1)
        sim_plan_receive(what & 2 ? 1 : result & 15);
    else
        sim_plan_send(result);
}

static void step(void) {
    uint8_t what = take_u8(input);
    int at = (what >> 4) % STREAMS;
    struct client *client = &world.clients[at];
    switch (what & 15) {
    case 0:
    case 1:
        come_or_go(at);
        break;
    case 2:
    case 3:
        says(client);
        break;
    case 4:
        says_raw(client);
        break;
    case 5:
        is_fed(client);
        break;
    case 6:
        ends(client);
        break;
    case 7:
    case 8:
        peer_says(client);
        break;
    case 9:
    case 10:
        python_does(client);
        break;
    case 11:
        plan();
        break;
    case 12:
        pass_time();
        break;
    default:
        drain();
    }
}

/* Let every slow reader read on. */
static void finish(void) {
    sim_plan_nothing();
    for (int at = 0; at < STREAMS; at++)
        if (world.clients[at].stream && world.clients[at].stream->state != DP_STREAM_GONE)
            sim_writable(world.clients[at].fd, true);
    for (int round = 0; round < 8; round++) drain();
    world_check_written();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input program = {data, size};
    input = &program;
    sim_reset();
    traffic_reset();
    world_open(take_u8(input));
    while (program.left) step();
    finish();
    world_close();
    return 0;
}
