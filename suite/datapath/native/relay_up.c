/*
 * From clients to peers: ChannelData and Send indications.
 *
 * Hot path; benchmarks/run.py measures it.
 */
#include "relay_shared.h"

#include <netinet/ip.h>
#include <string.h>

#define KEPT_FOR_STREAMS 3

enum attribute {
    XOR_PEER_ADDRESS = 0x0012,
    DATA = 0x0013,
    DONT_FRAGMENT = 0x001A,
    MESSAGE_INTEGRITY = 0x0008,
    MESSAGE_INTEGRITY_SHA256 = 0x001C,
    FINGERPRINT = 0x8028,
};

enum { SEND_INDICATION = 0x0016, BINDING_REQUEST = 0x0001 }; /* the second: of RFC 3489, too */

/* Comprehension-required attributes of RFC 8489 and RFC 8656, a bit for each of the first 64. */
#define BIT(type) ((uint64_t)1 << (type))
static const uint64_t understood =
    BIT(0x01) | BIT(0x06) | BIT(0x08) | BIT(0x09) | BIT(0x0A) | BIT(0x0C) | BIT(0x0D) | BIT(0x12) |
    BIT(0x13) | BIT(0x14) | BIT(0x15) | BIT(0x16) | BIT(0x17) | BIT(0x18) | BIT(0x19) | BIT(0x1A) |
    BIT(0x1C) | BIT(0x1D) | BIT(0x1E) | BIT(0x20) | BIT(0x22);

/* To the peer */

static bool take_up(struct dp_flow *flow, size_t size) {
    if (!flow->max_bps) return true;
    if (size > flow->budget_up) {
        flow->counters.dropped_packets++;
        return false;
    }
    flow->budget_up -= size;
    return true;
}

static void count_received(struct dp_flow *flow, size_t size) {
    flow->counters.received_packets++;
    flow->counters.received_bytes += size;
}

/*
 * Measured on loopback: 3.5 us from a socket of its own, 2.9 us within a batch of one socket, 2.8
 * us from a connected one. The last would need a second socket for each channel, on the same port.
 */
static void send_up(struct dp_flow *flow, struct dp_relay *relay, const union dp_addr *to,
                    const uint8_t *payload, size_t size) {
    if (!to->in.sin_port) {
        /* The kernel would say so, and it would be taken for a fault of joined packets. */
        flow->counters.dropped_packets++;
        return;
    }
    struct dp_out *out = dp_out(flow->thing.turn->plane, &relay->socket, to);
    out->part[0] = (struct iovec){(void *)(uintptr_t)payload, size};
    out->parts = 1;
    out->size = out->octets = size;
    out->tally = &flow->to_peers;
}

static void set_dont_fragment(const struct dp_socket *socket, bool on) {
    int value = on ? IP_PMTUDISC_DO : IP_PMTUDISC_DONT;
    if (socket->family == AF_INET6)
        setsockopt(socket->fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, &value, sizeof value);
    else
        setsockopt(socket->fd, IPPROTO_IP, IP_MTU_DISCOVER, &value, sizeof value);
}

void dp_flow_send_by(struct dp_flow *flow, struct dp_relay *relay, const union dp_addr *to,
                     const uint8_t *payload, size_t size, bool dont_fragment) {
    struct dp_plane *plane = flow->thing.turn->plane;
    if (!dont_fragment) {
        send_up(flow, relay, to, payload, size);
        return;
    }
    /* The kernel has no such wish for one packet, only for the socket. */
    dp_flush(plane);
    set_dont_fragment(&relay->socket, true);
    send_up(flow, relay, to, payload, size);
    dp_flush(plane);
    set_dont_fragment(&relay->socket, false);
}

static void channel_data(struct dp_flow *flow, const uint8_t *frame, size_t size) {
    struct dp_channel *channel = dp_flow_channel(flow, dp_read16(frame));
    size_t length = dp_read16(frame + 2);
    if (!channel || length > size - DP_CHANNEL_HEAD) {
        flow->counters.dropped_packets++;
        return;
    }
    count_received(flow, length);
    if (!take_up(flow, length)) return;
    if (channel->relay)
        send_up(flow, channel->relay, &channel->target, frame + DP_CHANNEL_HEAD, length);
    else
        dp_way_send(flow, channel->way, frame + DP_CHANNEL_HEAD, length, false);
}

void dp_flow_send(struct dp_flow *flow, const union dp_addr *address, const uint8_t *payload,
                  size_t size, bool dont_fragment) {
    struct dp_key key = dp_space_host_key(flow->thing.number, DP_HOSTS, address);
    struct dp_peer *peer = dp_table_get(&flow->thing.turn->table, &key);
    if (!peer || !dp_peer_counts(peer, ntohs(address->in.sin_port))) {
        flow->counters.dropped_packets++;
        return;
    }
    union dp_addr to = peer->reached_at;
    to.in.sin_port = address->in.sin_port;
    struct dp_way *way = flow->sharing ? dp_flow_way(flow, &to) : NULL;
    struct dp_relay *relay = flow->sharing ? NULL : dp_flow_relay_for(flow, to.sa.sa_family);
    if (!way && !relay) {
        flow->counters.dropped_packets++;
        return;
    }
    count_received(flow, size);
    if (!take_up(flow, size)) return;
    if (relay)
        dp_flow_send_by(flow, relay, &to, payload, size, dont_fragment);
    else
        dp_way_send(flow, way, payload, size, dont_fragment);
}

/* Send indications */

struct send_indication {
    union dp_addr peer;
    const uint8_t *payload; /* NULL without DATA */
    size_t size;
    bool dont_fragment;
    bool unknown_required;
};

enum reading { READ, MALFORMED, FOR_PYTHON };

static bool read_xor_address(const uint8_t *value, size_t size, const uint8_t *message,
                             union dp_addr *addr) {
    if ((size != 8 && size != 20) || value[1] != (size == 8 ? 1 : 2)) return false;
    uint8_t clear[16];
    /* The cookie and the identifier stand side by side in the message, as the mask has them. */
    for (size_t at = 0; at < size - 4; at++) clear[at] = value[4 + at] ^ message[4 + at];
    memset(addr, 0, sizeof *addr);
    addr->sa.sa_family = size == 8 ? AF_INET : AF_INET6;
    addr->in.sin_port = htons((uint16_t)(dp_read16(value + 2) ^ (DP_COOKIE >> 16)));
    if (size == 8)
        memcpy(&addr->in.sin_addr, clear, 4);
    else
        memcpy(&addr->in6.sin6_addr, clear, 16);
    return true;
}

static bool is_unknown(uint16_t type) {
    return type < 0x8000 && (type >= 64 || !(understood & BIT(type)));
}

static enum reading read_attribute(const uint8_t *message, uint16_t type, const uint8_t *value,
                                   size_t size, struct send_indication *send) {
    switch (type) {
    case DATA:
        if (!send->payload) {
            send->payload = value;
            send->size = size;
        }
        return READ;
    case XOR_PEER_ADDRESS:
        if (send->peer.sa.sa_family) return READ;
        return read_xor_address(value, size, message, &send->peer) ? READ : MALFORMED;
    case DONT_FRAGMENT:
        send->dont_fragment = true;
        return READ;
    case MESSAGE_INTEGRITY:
    case MESSAGE_INTEGRITY_SHA256:
    case FINGERPRINT:
        return FOR_PYTHON;
    default:
        if (is_unknown(type)) send->unknown_required = true;
        return READ;
    }
}

/* As turn.stun.relayed.parse_send, which is asked where a checksum or a digest is to be checked. */
static enum reading read_send(const uint8_t *message, size_t size, struct send_indication *send) {
    memset(send, 0, sizeof *send);
    size_t length = dp_read16(message + 2);
    if (length & 3 || length + DP_STUN_HEAD != size) return MALFORMED;
    /* Every length is a multiple of four, so a header always fits, and so does the padding. */
    for (size_t at = DP_STUN_HEAD; at < size;) {
        uint16_t type = dp_read16(message + at);
        size_t value = at + 4, end = value + dp_read16(message + at + 2);
        if (end > size) return MALFORMED;
        enum reading reading = read_attribute(message, type, message + value, end - value, send);
        if (reading != READ) return reading;
        at = (end + 3) & ~(size_t)3;
    }
    return send->peer.sa.sa_family ? READ : MALFORMED;
}

/* Not in the last room: a stream that finds none for its messages has to be ended. */
static void tell_send(struct dp_turn *turn, const struct dp_flow *flow, const uint8_t *message,
                      size_t size) {
    if (dp_can_tell(turn->plane, KEPT_FOR_STREAMS + 1))
        dp_tell(turn->plane, DP_SEND, flow->thing.number, 0, NULL, message, size);
    else
        turn->plane->untold++;
}

static void send_indication(struct dp_turn *turn, struct dp_flow *flow, const uint8_t *message,
                            size_t size) {
    struct send_indication send;
    enum reading reading = read_send(message, size, &send);
    if (reading == FOR_PYTHON && flow)
        tell_send(turn, flow, message, size);
    else if (reading != READ || !flow || !send.payload || send.unknown_required)
        turn->ignored++;
    else
        dp_flow_send(flow, &send.peer, send.payload, send.size, send.dont_fragment);
}

static bool is_message(const uint8_t *data, size_t size) {
    return size >= DP_STUN_HEAD && data[0] < 0x40 && dp_read32(data + 4) == DP_COOKIE;
}

void dp_flow_from_client(struct dp_turn *turn, struct dp_flow *flow, const uint8_t *frame,
                         size_t size) {
    if (size >= DP_CHANNEL_HEAD && (frame[0] & 0xC0) == 0x40) {
        if (flow) channel_data(flow, frame, size);
    } else if (is_message(frame, size) && dp_read16(frame) == SEND_INDICATION) {
        send_indication(turn, flow, frame, size);
    } else {
        turn->ignored++;
    }
}

/* Listeners */

static void other(struct dp_listener *listener, struct dp_flow *flow, const uint8_t *data,
                  size_t size, const union dp_addr *from) {
    struct dp_turn *turn = listener->thing.turn;
    uint16_t type = size >= DP_STUN_HEAD ? dp_read16(data) : 0;
    bool is_stun = is_message(data, size);
    if (is_stun && type == SEND_INDICATION)
        send_indication(turn, flow, data, size);
    else if (is_stun || type == BINDING_REQUEST)
        dp_tell(turn->plane, DP_CONTROL, listener->thing.number, 0, from, data, size);
    else
        turn->ignored++;
}

static void take(struct dp_listener *listener, const struct dp_slot *slot) {
    struct dp_key key = dp_space_key(listener->thing.number, DP_CLIENTS, &slot->from);
    struct dp_flow *flow = dp_table_get(&listener->thing.turn->table, &key);
    for (size_t at = 0; at < slot->size; at += slot->segment) {
        const uint8_t *data = slot->data + at;
        size_t size = slot->size - at < slot->segment ? slot->size - at : slot->segment;
        if (flow && size >= DP_CHANNEL_HEAD && (data[0] & 0xC0) == 0x40)
            channel_data(flow, data, size);
        else
            other(listener, flow, data, size, &slot->from);
    }
}

static int receive(struct dp_plane *plane, struct dp_socket *socket, int share) {
    struct dp_listener *listener =
        (struct dp_listener *)((char *)socket - offsetof(struct dp_listener, socket));
    int room = DP_EVENTS - plane->events_used;
    int count = dp_receive(plane, socket, share < room ? share : room);
    for (int at = 0; at < count; at++) take(listener, &plane->slots[at]);
    return count;
}

const struct dp_kind dp_listener_kind = {.readable = receive};
