#include "stream_model.h"

#include "events.h"

#include <string.h>

static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};

struct stream_model world;

static struct client *client_at(int fd) {
    for (int at = 0; at < STREAMS; at++) {
        struct client *client = &world.clients[at];
        /* Another may have the number of what is gone. */
        bool is_gone = client->stream && client->stream->state == DP_STREAM_GONE;
        if (client->fd == fd && !is_gone) return client;
    }
    return NULL;
}

/* Frames, byte by byte */

static bool is_faulty(const struct frames *frames) {
    const uint8_t *frame = frames->frame;
    size_t size = frames->size;
    if (frame[0] >= 0x80) return true;
    if (frame[0] >= 0x40) return false;
    if (size >= 4 && frame[3] % 4) return true;
    return size >= 5 && size <= 8 && frame[size - 1] != cookie[size - 5];
}

static size_t whole(const struct frames *frames) {
    const uint8_t *frame = frames->frame;
    if (frames->size < 4) return SIZE_MAX;
    size_t length = ((size_t)frame[2] << 8 | frame[3]) + (frame[0] >= 0x40 ? 4 : 20);
    return (length + 3) / 4 * 4;
}

/* Whether a frame is whole with this byte. */
static bool add_byte(struct frames *frames, uint8_t byte) {
    if (frames->faulty) return false;
    frames->frame[frames->size++] = byte;
    frames->faulty = is_faulty(frames);
    return !frames->faulty && frames->size == whole(frames);
}

/* From clients */

static bool is_media(const uint8_t *frame) {
    return frame[0] >= 0x40 || (frame[0] == 0 && frame[1] == 0x16);
}

void client_said(struct client *client, const uint8_t *data, size_t size) {
    struct frames *said = &client->said;
    for (size_t at = 0; at < size && !client->dead; at++) {
        bool is_whole = add_byte(said, data[at]);
        if (said->faulty) client->dead = true;
        if (!is_whole) continue;
        bool to_python = world.streams->media_to_python && !client->flow;
        if (!is_media(said->frame) || to_python) {
            REQUIRE(said->size <= LOG - client->control_said);
            memcpy(client->control + client->control_said, said->frame, said->size);
            client->control_said += said->size;
        }
        said->size = 0;
    }
}

static void took(int fd, const uint8_t *data, size_t size) {
    struct client *client = client_at(fd);
    if (client && !client->is_tls) client_said(client, data, size);
}

static void took_tls(const struct tls_connection *connection, const uint8_t *data, size_t size) {
    for (int at = 0; at < STREAMS; at++)
        if (&world.clients[at].tls == connection) client_said(&world.clients[at], data, size);
}

/* To clients */

static void check_reply(struct client *client) {
    uint32_t number;
    memcpy(&number, client->heard.frame + 8, sizeof number);
    REQUIRE(number == client->replies_heard);
    for (size_t at = 12; at < client->heard.size; at++)
        REQUIRE(client->heard.frame[at] == (uint8_t)(number * at));
    client->replies_heard++;
}

static void check_media(const struct client *client) {
    const uint8_t *frame = client->heard.frame;
    size_t head = frame[0] >= 0x40 ? 4 : frame[25] == 2 ? 48 : 36;
    size_t size = (size_t)frame[head - 2] << 8 | frame[head - 1];
    REQUIRE(head + size <= client->heard.size);
    const struct origin *origin = traffic_origin(frame + head, size);
    REQUIRE(!origin || origin->fd == client->relay_fd || origin->flow != client->flow_number);
}

static void hear(struct client *client, const uint8_t *data, size_t size) {
    struct frames *heard = &client->heard;
    for (size_t at = 0; at < size; at++) {
        bool is_whole = add_byte(heard, data[at]);
        REQUIRE(!heard->faulty);
        if (!is_whole) continue;
        if (heard->frame[0] == 1)
            check_reply(client);
        else
            check_media(client);
        heard->size = 0;
    }
}

static void hear_records(struct client *client, const uint8_t *data, size_t size) {
    static uint8_t plain[1 << 16];
    size_t plain_size, at = 0, taken;
    REQUIRE(size <= sizeof client->records - client->records_used);
    memcpy(client->records + client->records_used, data, size);
    client->records_used += size;
    while (
        (taken = tls_unwrap(client->records + at, client->records_used - at, plain, &plain_size))) {
        hear(client, plain, plain_size);
        at += taken;
    }
    memmove(client->records, client->records + at, client->records_used - at);
    client->records_used -= at;
}

static void wrote(int fd, const uint8_t *data, size_t size) {
    struct client *client = client_at(fd);
    REQUIRE(client);
    if (client->is_tls)
        hear_records(client, data, size);
    else
        hear(client, data, size);
}

/* To peers */

static void sent(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    const struct origin *origin = traffic_origin(data, size);
    const struct client *client = NULL;
    for (int at = 0; at < STREAMS; at++)
        if (world.clients[at].flow && world.clients[at].relay_fd == fd) client = &world.clients[at];
    REQUIRE(client && to->in.sin_port == htons(PEER_PORT));
    REQUIRE(!origin || origin->fd == client->fd);
}

/* Events */

static struct client *owner_of(uint64_t handle) {
    for (int at = 0; at < STREAMS; at++)
        if (world.clients[at].stream && world.clients[at].handle == handle)
            return &world.clients[at];
    return NULL;
}

static void check_control(struct client *client, const struct dp_event *event) {
    REQUIRE(event->size && event->size <= client->control_said - client->control_told);
    REQUIRE(!memcmp(client->control + client->control_told, event->data, event->size));
    client->control_told += event->size;
}

static void check_end(struct client *client, uint64_t why) {
    client->dead = true;
    if (why == DP_END_STRANGE) REQUIRE(client->strange);
    if (why == DP_END_FRAMING) REQUIRE(client->said.faulty);
    bool is_open = why == DP_END_FRAMING || why == DP_END_STRANGE || why == DP_END_LATE;
    REQUIRE(is_open || client->stream->state == DP_STREAM_GONE);
}

void world_take_events(void) {
    const struct dp_plane *plane = world.plane;
    for (int at = 0; at < plane->events_used; at++) {
        const struct dp_event *event = &plane->events[at];
        struct client *client = owner_of(event->owner);
        REQUIRE(event->data + event->size <= plane->arena + plane->arena_used);
        if (!client) continue;
        REQUIRE(event->kind == DP_STREAM || event->kind == DP_STREAM_END);
        if (event->kind == DP_STREAM)
            check_control(client, event);
        else
            check_end(client, event->more);
    }
    dp_told(world.plane);
    for (int at = 0; at < STREAMS; at++) {
        const struct client *client = &world.clients[at];
        if (!client->stream || client->dead || client->strange) continue;
        REQUIRE(client->control_told == client->control_said);
    }
}

void world_check_written(void) {
    for (int at = 0; at < STREAMS; at++) {
        const struct client *client = &world.clients[at];
        if (!client->stream || client->stream->broken || client->closing) continue;
        if (client->stream->state == DP_STREAM_GONE) continue;
        REQUIRE(!client->stream->blocked && !client->heard.size);
        REQUIRE(client->replies == client->replies_heard);
    }
}

/* Coming and going */

void client_open(int at, uint8_t how) {
    static const uint8_t unsent[20] = {1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42};
    struct client *client = &world.clients[at];
    union dp_addr own = traffic_addr(false, 100, 443);
    if (client->stream) return;
    client->fd = sim_tcp(&own);
    client->is_tls = how & 1;
    client->flow = NULL;
    client->said.size = client->heard.size = 0;
    client->said.faulty = client->heard.faulty = client->dead = client->closing = false;
    client->control_said = client->control_told = client->records_used = 0;
    client->replies = client->replies_heard = 0;
    client->strange = how & 2;
    tls_reset(&client->tls);
    struct dp_tls tls = tls_of(&client->tls);
    bool has_unsent = how & 4 && !client->is_tls;
    client->stream = dp_stream_open(world.streams, client->fd, client->is_tls ? &tls : NULL, unsent,
                                    has_unsent ? sizeof unsent : 0);
    if (has_unsent) client->replies++;
    REQUIRE(client->stream);
    client->handle = client->stream->handle;
    dp_stream_set_stranger(client->stream, client->strange);
}

void client_allocate(int at) {
    struct client *client = &world.clients[at];
    union dp_addr own = traffic_addr(false, 100, (uint16_t)(50000 + at));
    union dp_addr peer = traffic_addr(false, PEER_HOST, PEER_PORT);
    if (client->flow || !client->stream) return;
    client->flow = dp_flow_open(world.turn, 0);
    client->relay_fd = sim_udp(&own);
    uint64_t relay = dp_turn_bind(world.turn, client->relay_fd);
    REQUIRE(client->flow && relay && !dp_flow_add_relay(client->flow, relay));
    REQUIRE(!dp_flow_permit(client->flow, &peer, &peer, NULL, 0, 1e9));
    REQUIRE(!dp_flow_bind_channel(client->flow, NUMBER, &peer, 1e9));
    client->flow_number = dp_flow_number(client->flow);
    dp_stream_set_flow(client->stream, world.turn, client->flow);
}

void client_deallocate(int at) {
    struct client *client = &world.clients[at];
    if (!client->flow) return;
    dp_flow_close(client->flow, NULL);
    client->flow = NULL;
    REQUIRE(!client->stream || !client->stream->flow);
}

void client_free(struct client *client) {
    if (!client->stream) return;
    dp_stream_free(client->stream);
    client->stream = NULL;
    client->fd = -1;
}

void client_answer(struct client *client, size_t more) {
    size_t size = 20 + more * 4;
    uint8_t *reply = traffic_room(size);
    bool counts = client->stream->state < DP_STREAM_CLOSING && !client->stream->broken;
    if (!reply) return;
    reply[0] = reply[1] = 1;
    reply[2] = (uint8_t)((size - 20) >> 8);
    reply[3] = (uint8_t)(size - 20);
    memcpy(reply + 4, cookie, sizeof cookie);
    memcpy(reply + 8, &client->replies, sizeof client->replies);
    for (size_t at = 12; at < size; at++) reply[at] = (uint8_t)(client->replies * at);
    client->replies += counts;
    dp_stream_send(client->stream, reply, size, false);
}

void world_open(uint8_t how) {
    world.now = 1000;
    world.plane = dp_open();
    REQUIRE(world.plane);
    world.turn = dp_turn_open(world.plane);
    world.streams = dp_streams_open(world.plane);
    REQUIRE(world.turn && world.streams);
    world.streams->media_age = how & 1 ? 0.5 : 10;
    world.streams->media_bytes = how & 2 ? 3000 : 100000;
    world.streams->strange_most = how >> 4;
    world.streams->media_to_python = how & 4;
    for (int at = 0; at < STREAMS; at++) {
        world.clients[at].stream = NULL;
        world.clients[at].fd = -1;
        world.clients[at].flow = NULL;
    }
    sim_ears = (struct sim_ears){.sent = sent, .wrote = wrote, .took = took};
    tls_took = took_tls;
}

void world_close(void) {
    for (int at = 0; at < STREAMS; at += 2) client_deallocate(at);
    for (int at = 0; at < STREAMS; at++) client_free(&world.clients[at]);
    dp_turn_close(world.turn);
    dp_streams_close(world.streams);
    dp_close(world.plane);
}
