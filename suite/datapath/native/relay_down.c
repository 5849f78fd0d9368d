/*
 * From peers to clients: ChannelData, Data indications, ICMP errors.
 *
 * Hot path; benchmarks/run.py measures it.
 */
#include "relay_parts.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <linux/icmpv6.h>
#include <string.h>

enum { DATA_INDICATION = 0x0017, XOR_PEER_ADDRESS = 0x0012, DATA = 0x0013, ICMP = 0x8004 };

static uint8_t zeros[4];

/* Framing */

static size_t padding_of(size_t size) {
    return (4 - (size & 3)) & 3;
}

static bool take_down(struct dp_flow *flow, size_t size) {
    if (!flow->max_bps) return true;
    if (size > flow->budget_down) {
        flow->counters.dropped_packets++;
        return false;
    }
    flow->budget_down -= size;
    return true;
}

/* The frame in up to three parts; returns how many. */
static int parts_of(const struct dp_frame *frame, uint8_t *head, struct iovec *parts) {
    int count = 0;
    if (frame->has_headroom) {
        uint8_t *start = frame->payload - frame->head_size;
        memcpy(start, frame->head, frame->head_size);
        parts[count++] = (struct iovec){start, frame->head_size + frame->size};
    } else {
        memcpy(head, frame->head, frame->head_size);
        parts[count++] = (struct iovec){head, frame->head_size};
        if (frame->size) parts[count++] = (struct iovec){frame->payload, frame->size};
    }
    if (frame->padding) parts[count++] = (struct iovec){zeros, frame->padding};
    return count;
}

static void to_udp(struct dp_flow *flow, const struct dp_frame *frame) {
    struct dp_turn *turn = flow->thing.turn;
    if (flow->listener->socket.fd < 0) {
        turn->to_clients.failed++;
        return;
    }
    struct dp_out *out = dp_out(turn->plane, &flow->listener->socket, &flow->address);
    out->parts = parts_of(frame, out->head, out->part);
    out->size = frame->head_size + frame->size + frame->padding;
    out->octets = frame->size;
    out->tally = &turn->to_clients;
}

static void to_stream(struct dp_flow *flow, struct dp_frame *frame) {
    struct dp_plane *plane = flow->thing.turn->plane;
    struct iovec parts[3];
    uint8_t head[DP_HEAD];
    frame->padding = padding_of(frame->head_size + frame->size);
    int count = parts_of(frame, head, parts);
    if (flow->client == DP_PYTHON_STREAM)
        dp_tell_joined(plane, DP_TO_STREAM, flow->thing.number, parts, count, DP_JOINED_MOST);
    else if (flow->client == DP_OTHER_STREAM)
        flow->to_client(plane, flow->stream, parts, count,
                        frame->head_size + frame->size + frame->padding);
}

static void to_client(struct dp_flow *flow, struct dp_frame *frame) {
    struct dp_counters *counters = &flow->counters;
    counters->peer_received_packets++;
    counters->peer_received_bytes += frame->size;
    if (!take_down(flow, frame->size)) return;
    if (flow->client == DP_UDP_CLIENT)
        to_udp(flow, frame);
    else
        to_stream(flow, frame);
    counters->sent_packets++;
    counters->sent_bytes += frame->size;
}

void dp_flow_down_channel(struct dp_flow *flow, uint16_t number, uint8_t *payload, size_t size,
                          bool has_headroom) {
    struct dp_frame frame;
    dp_write16(frame.head, number);
    dp_write16(frame.head + 2, (uint16_t)size);
    frame.head_size = DP_CHANNEL_HEAD;
    frame.payload = payload;
    frame.size = size;
    frame.padding = 0;
    frame.has_headroom = has_headroom;
    to_client(flow, &frame);
}

/* Write the head of a Data indication up to and with XOR-PEER-ADDRESS; returns its size. */
static size_t write_indication(struct dp_turn *turn, uint8_t *head, const union dp_addr *peer,
                               size_t more) {
    bool is_ipv6 = peer->sa.sa_family == AF_INET6;
    size_t address = is_ipv6 ? 16 : 4;
    const void *host = is_ipv6 ? (const void *)&peer->in6.sin6_addr : &peer->in.sin_addr;
    uint8_t *at = head + DP_STUN_HEAD;
    dp_write16(head, DATA_INDICATION);
    dp_write16(head + 2, (uint16_t)(8 + address + more));
    dp_write32(head + 4, DP_COOKIE);
    memcpy(head + 8, dp_turn_id(turn), DP_ID_SIZE);
    dp_write16(at, XOR_PEER_ADDRESS);
    dp_write16(at + 2, (uint16_t)(4 + address));
    dp_write16(at + 4, is_ipv6 ? 2 : 1);
    dp_write16(at + 6, (uint16_t)(ntohs(peer->in.sin_port) ^ (DP_COOKIE >> 16)));
    memcpy(at + 8, host, address);
    for (size_t byte = 0; byte < address; byte++) at[8 + byte] ^= head[4 + byte];
    return DP_STUN_HEAD + 8 + address;
}

void dp_flow_down_data(struct dp_flow *flow, const union dp_addr *shown, uint8_t *payload,
                       size_t size, bool has_headroom) {
    struct dp_frame frame = {.payload = payload,
                             .size = size,
                             .padding = padding_of(size),
                             .has_headroom = has_headroom};
    size_t used = write_indication(flow->thing.turn, frame.head, shown, 4 + size + frame.padding);
    dp_write16(frame.head + used, DATA);
    dp_write16(frame.head + used + 2, (uint16_t)size);
    frame.head_size = used + 4;
    to_client(flow, &frame);
}

void dp_flow_down_icmp(struct dp_flow *flow, const union dp_addr *shown, uint8_t type, uint8_t code,
                       uint32_t mtu) {
    struct dp_frame frame = {.payload = zeros};
    size_t used = write_indication(flow->thing.turn, frame.head, shown, 12);
    uint8_t *at = frame.head + used;
    dp_write16(at, ICMP);
    dp_write16(at + 2, 8);
    dp_write16(at + 4, 0);
    dp_write16(at + 6, (uint16_t)(type << 9 | code));
    dp_write32(at + 8, mtu);
    frame.head_size = used + 12;
    to_client(flow, &frame);
}

/* Relay sockets */

static void indicate(struct dp_flow *flow, const union dp_addr *from, uint8_t *payload, size_t size,
                     bool has_headroom) {
    struct dp_peer *peer = dp_flow_heard(flow, from);
    if (!peer || size > DP_PAYLOAD_MOST) {
        flow->counters.dropped_packets++;
        return;
    }
    union dp_addr shown = peer->host;
    shown.in.sin_port = from->in.sin_port;
    dp_flow_down_data(flow, &shown, payload, size, has_headroom);
}

void dp_flow_deliver(struct dp_flow *flow, const struct dp_channel *channel,
                     const union dp_addr *from, uint8_t *payload, size_t size, bool has_headroom) {
    if (channel && channel->peer)
        dp_flow_down_channel(flow, channel->number, payload, size, has_headroom);
    else
        indicate(flow, from, payload, size, has_headroom);
}

static void take(struct dp_relay *relay, const struct dp_slot *slot) {
    struct dp_key key = dp_space_key(relay->thing.number, DP_SOURCES, &slot->from);
    struct dp_channel *channel = dp_table_get(&relay->thing.turn->table, &key);
    size_t at = 0;
    /* An empty datagram is one, too. */
    do {
        size_t size = slot->size - at < slot->segment ? slot->size - at : slot->segment;
        dp_flow_deliver(relay->flow, channel, &slot->from, slot->data + at, size, at == 0);
        at += slot->segment;
    } while (at < slot->size);
}

static int receive(struct dp_plane *plane, struct dp_socket *socket, int share) {
    struct dp_relay *relay = dp_relay_of(socket);
    int room = DP_EVENTS - plane->events_used;
    int count = dp_receive(plane, socket, share < room ? share : room);
    if (relay->flow)
        for (int at = 0; at < count; at++) take(relay, &plane->slots[at]);
    return count;
}

/* ICMP */

static bool is_relayed(const struct sock_extended_err *error) {
    if (error->ee_origin == SO_EE_ORIGIN_ICMP)
        return error->ee_type == ICMP_DEST_UNREACH || error->ee_type == ICMP_TIME_EXCEEDED;
    if (error->ee_origin == SO_EE_ORIGIN_ICMP6)
        return error->ee_type == ICMPV6_DEST_UNREACH || error->ee_type == ICMPV6_PKT_TOOBIG ||
               error->ee_type == ICMPV6_TIME_EXCEED;
    return false;
}

/* Take one entry off the error queue. False if it is empty; type 0: nothing for a client. */
static bool next_error(const struct dp_socket *socket, union dp_addr *peer,
                       struct sock_extended_err *error) {
    union {
        char bytes[512];
        struct cmsghdr align;
    } ancillary;
    struct msghdr head = {.msg_name = peer,
                          .msg_namelen = sizeof *peer,
                          .msg_control = &ancillary,
                          .msg_controllen = sizeof ancillary};
    memset(error, 0, sizeof *error);
    memset(peer, 0, sizeof *peer);
    if (recvmsg(socket->fd, &head, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return false;
    for (struct cmsghdr *found = CMSG_FIRSTHDR(&head); found; found = CMSG_NXTHDR(&head, found)) {
        struct sock_extended_err candidate;
        if (found->cmsg_len < CMSG_LEN(sizeof candidate)) continue;
        memcpy(&candidate, CMSG_DATA(found), sizeof candidate);
        if (is_relayed(&candidate)) {
            *error = candidate;
            break;
        }
    }
    return true;
}

/* Section 11.5: a client hears of errors from peers that it may talk to. */
void dp_relay_report(struct dp_relay *relay,
                     struct dp_flow *(*flow_of)(struct dp_relay *, const union dp_addr *)) {
    union dp_addr from;
    struct sock_extended_err error;
    while (next_error(&relay->socket, &from, &error)) {
        struct dp_flow *flow = error.ee_type ? flow_of(relay, &from) : NULL;
        struct dp_peer *peer = flow ? dp_flow_heard(flow, &from) : NULL;
        if (!peer) continue;
        union dp_addr shown = peer->host;
        shown.in.sin_port = from.in.sin_port;
        dp_flow_down_icmp(flow, &shown, error.ee_type, error.ee_code, error.ee_info);
    }
}

static struct dp_flow *owner(struct dp_relay *relay, const union dp_addr *peer) {
    (void)peer;
    return relay->flow;
}

static void report_errors(struct dp_plane *plane, struct dp_socket *socket) {
    (void)plane;
    dp_relay_report(dp_relay_of(socket), owner);
}

const struct dp_kind dp_relay_kind = {.readable = receive, .errors = report_errors};
