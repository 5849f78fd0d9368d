#include "media.h"

#include <stdlib.h>
#include <string.h>

#define DEFAULT_RATE 8000
#define OWN_LARGEST 160
#define CACHE_LINE 64
_Static_assert(DP_KEPT_LONGEST >= DP_SRTP_LARGEST, "what SRTP takes can be sent again");
/* Packets that are sealed somewhere else than where they came, until they are sent. */
#define SCRATCH 64

/* Ends */

void dp_end_init(struct dp_end *end, struct dp_plane *plane, struct dp_way *way) {
    memset(end, 0, sizeof *end);
    end->handle = dp_number(plane);
    end->way = way;
    end->sends = end->receives = true;
    for (int at = 0; at < 128; at++) end->numbers[at].mapped = DP_NOT_MAPPED;
    dp_incoming_init(&end->incoming);
    dp_event_init(&end->event);
    end->outgoing.source = DP_NOBODY;
    end->outgoing.rate = DEFAULT_RATE;
}

void dp_end_clear(struct dp_end *end) {
    dp_end_part(end);
    free(end->missing);
    free(end->kept);
    end->missing = NULL;
    end->kept = NULL;
}

static void warm(const void *from, size_t size) {
    for (size_t at = 0; at < size; at += CACHE_LINE) __builtin_prefetch((const char *)from + at);
}

void dp_end_warm(const struct dp_end *end) {
    warm(end, offsetof(struct dp_end, trace_due));
    if (!end->peer) return;
    warm(end->peer, offsetof(struct dp_end, trace_due));
    warm(end->peer->way, offsetof(struct dp_way, latch.remote));
}

void dp_end_part(struct dp_end *end) {
    if (!end->peer) return;
    end->peer->peer = NULL;
    end->peer = NULL;
}

void dp_end_join(struct dp_end *one, struct dp_end *other) {
    dp_end_part(one);
    dp_end_part(other);
    one->peer = other;
    other->peer = one;
    one->failed_seen = one->sent.failed;
    other->failed_seen = other->sent.failed;
    /* What feeds them will be another source, even if its SSRC is the same. */
    one->outgoing.source = other->outgoing.source = DP_NOBODY;
}

bool dp_end_keep(struct dp_end *end, bool wanted) {
    if (!wanted) {
        free(end->kept);
        end->kept = NULL;
    } else if (!end->kept) {
        end->kept = malloc(sizeof *end->kept);
        if (end->kept) dp_kept_init(end->kept);
    }
    return !wanted || end->kept;
}

bool dp_end_miss(struct dp_end *end, bool wanted, double interval) {
    if (!wanted) {
        free(end->missing);
        end->missing = NULL;
    } else if (!end->missing) {
        end->missing = malloc(sizeof *end->missing);
        if (end->missing) dp_missing_init(end->missing, interval);
    }
    return !wanted || end->missing;
}

static void trace(struct dp_plane *plane, const struct dp_end *end, int went, const uint8_t *data,
                  size_t size) {
    if (plane->now < end->trace_due[went]) return;
    dp_tell(plane, DP_TRACE, end->handle, (uint64_t)size << 8 | (uint64_t)went, NULL, data,
            DP_RTP_HEADER);
}

void dp_end_drop(struct dp_plane *plane, struct dp_end *end, enum dp_drop why) {
    end->dropped[why]++;
    if (end->traces_drops)
        dp_tell(plane, DP_TRACE, end->handle, (uint64_t)why << 8 | DP_WENT_NOWHERE, NULL, NULL, 0);
}

enum dp_drop dp_why_sealed(size_t size) {
    return size > DP_SRTP_LARGEST ? DP_TOO_LONG : DP_UNAUTHENTIC;
}

bool dp_pace_is_over(struct dp_pace *pace, double now, unsigned most) {
    if (now >= pace->second) *pace = (struct dp_pace){.second = now + 1.0};
    if (pace->taken >= most) return true;
    pace->taken++;
    return false;
}

/* Sending */

/*
 * Encrypt a packet where it is, unless others lie behind it, and keep what may be wanted again.
 * Returns where it is now, or NULL if SRTP has no packet for it.
 */
static uint8_t *seal(struct dp_plane *plane, struct dp_end *end, const struct dp_packet *packet,
                     uint16_t sequence, size_t *size) {
    static _Thread_local uint32_t scratch[SCRATCH][(DP_RTP_LARGEST + DP_SRTP_TRAILER) / 4];
    const struct dp_srtp *srtp = &end->way->srtp;
    uint8_t *place = packet->data;
    *size = packet->size;
    if (srtp->wanted) {
        if (!packet->is_alone && packet->size <= DP_RTP_LARGEST) {
            place = (uint8_t *)scratch[plane->outs_used % SCRATCH];
            memcpy(place, packet->data, packet->size);
        }
        *size = dp_protect(srtp, place, packet->size);
    }
    if (!*size) return NULL;
    if (end->kept) dp_kept_keep(end->kept, sequence, place, *size);
    return place;
}

/* Send a plain packet to the peer of this end; false if SRTP has no packet for it. */
static bool send_on(struct dp_plane *plane, struct dp_end *end, const struct dp_packet *packet,
                    uint16_t sequence, size_t padding) {
    struct dp_way *way = end->way;
    size_t size;
    /* What is kept, or in the scratch, is not overwritten before it is sent. */
    if (plane->outs_used >= SCRATCH) dp_flush(plane);
    if (end->traced) trace(plane, end, DP_WENT_OUT, packet->data, packet->size);
    uint8_t *sealed = seal(plane, end, packet, sequence, &size);
    if (!sealed) return false;
    end->padding_sent += padding;
    if (!way->out) {
        end->sent.packets++;
        end->sent.octets += packet->size;
        return dp_tell(plane, DP_PUT, way->handle, 0, NULL, sealed, size);
    }
    struct dp_out *out = dp_out(plane, way->out, &way->latch.target);
    out->part[0] = (struct iovec){sealed, size};
    out->parts = 1;
    out->size = size;
    out->octets = packet->size;
    out->tally = &end->sent;
    return true;
}

bool dp_socket_put(struct dp_plane *plane, struct dp_socket *socket, const union dp_addr *to,
                   const uint8_t *data, size_t size) {
    struct dp_tally tally = {0};
    struct dp_out *out = dp_out(plane, socket, to);
    out->part[0] = (struct iovec){(void *)(uintptr_t)data, size};
    out->parts = 1;
    out->size = out->octets = size;
    out->tally = &tally;
    dp_flush(plane);
    return tally.packets == 1;
}

bool dp_way_put(struct dp_plane *plane, const struct dp_way *way, const uint8_t *data,
                size_t size) {
    if (!way->latch.has_target) return false;
    if (!way->out) return dp_tell(plane, DP_PUT, way->handle, 0, NULL, data, size);
    return dp_socket_put(plane, way->out, &way->latch.target, data, size);
}

void dp_end_send_own(struct dp_plane *plane, struct dp_end *end, uint8_t payload_type,
                     const uint8_t *payload, size_t size, uint32_t advance, double now,
                     uint32_t rate) {
    uint8_t data[DP_RTP_HEADER + OWN_LARGEST + DP_SRTP_TRAILER];
    struct dp_rtp header = {.first = 0x80, .second = payload_type};
    if (!end->way->latch.has_target || !end->sends || size > OWN_LARGEST) return;
    dp_outgoing_make(&end->outgoing, &header, advance, now, rate);
    dp_rtp_write(&header, data);
    memcpy(data + DP_RTP_HEADER, payload, size);
    struct dp_packet packet = {data, DP_RTP_HEADER + size, true};
    plane->now = now;
    send_on(plane, end, &packet, header.sequence, 0);
    dp_flush(plane);
    /* Nobody counts it: it came from nowhere. */
    end->failed_seen = end->sent.failed;
}

void dp_end_settle(struct dp_plane *plane, struct dp_end *end) {
    struct dp_end *peer = end->peer;
    if (!peer) return;
    for (; peer->failed_seen < peer->sent.failed; peer->failed_seen++)
        dp_end_drop(plane, end, DP_REFUSED);
}

/* Receiving */

/* Count a packet that does not go on, without a gap in what the joined end sends. */
static void withhold(struct dp_plane *plane, struct dp_end *end, const struct dp_rtp *header) {
    struct dp_end *peer = end->peer;
    if (!end->receives || (peer && !peer->sends))
        dp_end_drop(plane, end, DP_HELD);
    else if (!peer || !peer->way->latch.has_target)
        dp_end_drop(plane, end, DP_NOWHERE);
    else
        dp_end_drop(plane, end, DP_PAYLOAD_TYPE);
    if (peer) dp_outgoing_skip(&peer->outgoing, header);
}

static void miss(struct dp_plane *plane, struct dp_end *end, const struct dp_rtp *header) {
    uint16_t asked[DP_MISSING_MOST];
    int count = dp_missing_receive(end->missing, header, plane->now, asked);
    if (count)
        dp_tell(plane, DP_MISSED, end->handle, header->ssrc, NULL, (const uint8_t *)asked,
                (size_t)count * sizeof asked[0]);
}

/* What this end knows of the packet, before anybody decides where it goes. */
static uint32_t note(struct dp_plane *plane, struct dp_end *end, const struct dp_packet *packet,
                     const struct dp_rtp *header) {
    uint32_t rate = end->numbers[header->second & 0x7F].rate;
    if (!rate) rate = DEFAULT_RATE;
    end->received_packets++;
    end->received_octets += packet->size;
    end->has_last = true;
    end->last_received = plane->now;
    dp_incoming_receive(&end->incoming, header, plane->now, rate);
    if (end->traced) trace(plane, end, DP_WENT_IN, packet->data, packet->size);
    if (end->missing) miss(plane, end, header);
    return rate;
}

void dp_end_received(struct dp_plane *plane, struct dp_end *end, const struct dp_packet *packet,
                     size_t start) {
    struct dp_rtp header;
    if (dp_pace_is_over(&end->pace, plane->now, DP_MEDIA_MOST)) {
        dp_end_drop(plane, end, DP_FLOOD);
        return;
    }
    dp_rtp_read(&header, packet->data);
    const struct dp_number *number = &end->numbers[header.second & 0x7F];
    uint32_t rate = note(plane, end, packet, &header);
    struct dp_end *peer = end->peer;
    if (!end->receives || number->mapped == DP_NOT_MAPPED || !peer || !peer->sends ||
        !peer->way->latch.has_target) {
        withhold(plane, end, &header);
        return;
    }
    const struct dp_rtp came = header;
    if (!dp_outgoing_take(&peer->outgoing, &header, plane->now, rate)) {
        dp_end_drop(plane, end, DP_LATE);
        return;
    }
    size_t padding = header.first & DP_RTP_PADDING ? packet->data[packet->size - 1] : 0;
    /* The new header stands right before the payload: what contributing sources and extensions
     * tell is between the peer and us. */
    size_t skipped = start - DP_RTP_HEADER;
    struct dp_packet rest = {packet->data + skipped, packet->size - skipped, packet->is_alone};
    if (peer->way->srtp.wanted && rest.size > DP_RTP_LARGEST) {
        dp_end_drop(plane, end, DP_TOO_LONG);
        return;
    }
    header.first = 0x80 | (header.first & DP_RTP_PADDING);
    header.second = (header.second & DP_RTP_MARKER) | number->mapped;
    if (number->here)
        header.timestamp +=
            dp_event_convert(&end->event, &came, packet->data + start,
                             packet->size - start - padding, number->here, number->there);
    dp_rtp_write(&header, rest.data);
    peer->forwarded++;
    if (!send_on(plane, peer, &rest, header.sequence, padding)) dp_end_drop(plane, end, DP_REFUSED);
}
