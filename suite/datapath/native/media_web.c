/*
 * The sockets of a browser's transport, and its ends: one port for all, packets told apart by
 * their payload types.
 */
#include "media.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int read_web(struct dp_plane *plane, struct dp_socket *socket, int share);

static const struct dp_kind web_kind = {.readable = read_web};

struct dp_transport *dp_transport_new(struct dp_plane *plane) {
    struct dp_transport *transport = calloc(1, sizeof *transport);
    if (!transport) return NULL;
    transport->way.handle = dp_number(plane);
    transport->way.srtp.wanted = true;
    return transport;
}

void dp_transport_free(struct dp_transport *transport) {
    free(transport);
}

void dp_transport_forget(struct dp_transport *transport, const struct dp_end *end) {
    for (int number = 0; number < 128; number++)
        if (transport->by_number[number] == end) transport->by_number[number] = NULL;
    if (transport->first == end) transport->first = NULL;
}

void dp_transport_drop(struct dp_plane *plane, struct dp_transport *transport, enum dp_drop why) {
    if (transport->first)
        dp_end_drop(plane, transport->first, why);
    else
        transport->dropped[why]++;
}

void dp_transport_media(struct dp_plane *plane, struct dp_transport *transport,
                        const struct dp_packet *packet) {
    const uint8_t *data = packet->data;
    if (dp_is_rtcp(data[1])) {
        dp_tell(plane, DP_RTCP, transport->way.handle, 0, NULL, data, packet->size);
        return;
    }
    struct dp_end *end = transport->by_number[data[1] & 0x7F];
    struct dp_packet plain = *packet;
    plain.size = dp_unprotect(&transport->way.srtp, plain.data, plain.size);
    if (!end) {
        dp_transport_drop(plane, transport,
                          plain.size ? DP_PAYLOAD_TYPE : dp_why_sealed(packet->size));
        return;
    }
    int start = plain.size ? dp_rtp_payload(plain.data, plain.size) : 0;
    if (!plain.size)
        dp_end_drop(plane, end, dp_why_sealed(packet->size));
    else if (start < 0)
        dp_end_drop(plane, end, DP_MALFORMED);
    else
        dp_end_received(plane, end, &plain, (size_t)start);
}

void dp_transport_settle(struct dp_plane *plane, struct dp_transport *transport) {
    struct dp_end *before = NULL;
    for (int number = 0; number < 128; number++) {
        struct dp_end *end = transport->by_number[number];
        if (end && end != before) dp_end_settle(plane, end);
        before = end;
    }
}

void dp_transport_arrived(struct dp_plane *plane, struct dp_transport *transport,
                          const uint8_t *data, size_t size, double now) {
    static _Thread_local uint32_t room[(DP_SRTP_LARGEST + DP_SRTP_TRAILER) / 4];
    if (size < DP_MEDIA_SHORTEST) {
        dp_transport_drop(plane, transport, DP_MALFORMED);
        return;
    }
    if (size > sizeof room - DP_SRTP_TRAILER) {
        struct dp_end *end = dp_is_rtcp(data[1]) ? NULL : transport->by_number[data[1] & 0x7F];
        if (end)
            dp_end_drop(plane, end, DP_TOO_LONG);
        else
            dp_transport_drop(plane, transport, DP_TOO_LONG);
        return;
    }
    memcpy(room, data, size);
    struct dp_packet packet = {(uint8_t *)room, size, true};
    plane->now = now;
    dp_transport_media(plane, transport, &packet);
    dp_flush(plane);
    dp_transport_settle(plane, transport);
}

/* Sockets */

struct dp_web_socket *dp_web_open(struct dp_plane *plane, int fd) {
    struct dp_web_socket *socket = calloc(1, sizeof *socket);
    if (!socket) return NULL;
    if (dp_watch(plane, &socket->socket, fd, &web_kind)) {
        int why = errno;
        free(socket);
        errno = why;
        return NULL;
    }
    socket->handle = dp_number(plane);
    return socket;
}

void dp_web_close(struct dp_plane *plane, struct dp_web_socket *socket) {
    struct dp_way *way = socket->transport ? &socket->transport->way : NULL;
    /* Nobody sends by a socket that is no more. */
    if (way && way->out == &socket->socket) {
        way->out = NULL;
        way->latch.has_target = false;
    }
    dp_forget(plane, &socket->socket);
    free(socket->valid);
    free(socket);
}

bool dp_web_set_valid(struct dp_web_socket *socket, const union dp_addr *valid, int count) {
    union dp_addr *copy = NULL;
    if (count) {
        copy = malloc((size_t)count * sizeof *copy);
        if (!copy) return false;
        memcpy(copy, valid, (size_t)count * sizeof *copy);
    }
    free(socket->valid);
    socket->valid = copy;
    socket->valid_count = count;
    socket->newest = 0;
    return true;
}

static bool is_valid(struct dp_web_socket *socket, const union dp_addr *from) {
    if (!socket->valid_count) return false;
    if (dp_place_same(&socket->valid[socket->newest], from)) return true;
    for (int at = 0; at < socket->valid_count; at++)
        if (dp_place_same(&socket->valid[at], from)) {
            socket->newest = at;
            return true;
        }
    return false;
}

static void take_web(struct dp_plane *plane, struct dp_socket *base, struct dp_slot *slot,
                     const struct dp_packet *packet) {
    struct dp_web_socket *socket = (struct dp_web_socket *)base;
    struct dp_transport *transport = socket->transport;
    if (packet->size < DP_MEDIA_SHORTEST) {
        dp_transport_drop(plane, transport, DP_MALFORMED);
        return;
    }
    /* RFC 7983: the first byte tells STUN, DTLS, and RTP with RTCP. */
    uint8_t first = packet->data[0];
    if (first < 4 || (first >= 20 && first <= 63))
        dp_tell(plane, DP_OTHER, socket->handle, 0, &slot->from, packet->data, packet->size);
    else if ((first & 0xC0) != 0x80)
        dp_transport_drop(plane, transport, DP_MALFORMED);
    else if (!is_valid(socket, &slot->from))
        dp_transport_drop(plane, transport, DP_SOURCE);
    else
        dp_transport_media(plane, transport, packet);
}

static void settle_web(struct dp_plane *plane, struct dp_socket *base) {
    dp_transport_settle(plane, ((struct dp_web_socket *)base)->transport);
}

static int read_web(struct dp_plane *plane, struct dp_socket *base, int share) {
    static const struct dp_reader reader = {take_web, settle_web};
    const struct dp_transport *transport = ((struct dp_web_socket *)base)->transport;
    if (!transport) return dp_receive(plane, base, 1);
    if (transport->first) dp_end_warm(transport->first);
    return dp_media_receive(plane, base, share, &reader);
}
