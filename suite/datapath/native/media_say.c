/*
 * What an end says of itself by RTCP (RFC 3550, section 6): a report, and its name.
 */
#include "media.h"

#include <string.h>

#define SENDER_REPORT 200
#define RECEIVER_REPORT 201
#define DESCRIPTION 202
#define CNAME 1

static uint8_t *put16(uint8_t *at, uint32_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static uint8_t *put32(uint8_t *at, uint64_t value) {
    return put16(put16(at, (uint32_t)(value >> 16) & 0xFFFF), (uint32_t)value & 0xFFFF);
}

static uint8_t *put_block(uint8_t *at, const struct dp_reception *of,
                          const struct dp_opening *opening) {
    int64_t lost = of->lost < -0x800000 ? -0x800000 : of->lost > 0x7FFFFF ? 0x7FFFFF : of->lost;
    at = put32(at, of->ssrc);
    at = put32(at, (uint64_t)of->fraction << 24 | ((uint64_t)lost & 0xFFFFFF));
    at = put32(at, of->highest);
    at = put32(at, of->jitter);
    at = put32(at, opening->last_report);
    return put32(at, opening->delay);
}

static uint8_t *put_sender(uint8_t *at, const struct dp_end *end, double now) {
    uint64_t payload = end->sent.octets - DP_RTP_HEADER * end->sent.packets - end->padding_sent;
    /* Seconds of the clock that never jumps, as NTP time. */
    uint64_t time = (uint64_t)(now * 4294967296.0);
    at = put32(at, time >> 32);
    at = put32(at, time);
    at = put32(at, dp_outgoing_timestamp_at(&end->outgoing, now));
    at = put32(at, end->sent.packets);
    return put32(at, payload);
}

/* The length of a packet counts words but its first one. */
static void frame(uint8_t *from, const uint8_t *to, int count, int kind) {
    from[0] = (uint8_t)(0x80 | count);
    from[1] = (uint8_t)kind;
    put16(from + 2, (uint32_t)(to - from) / 4 - 1);
}

size_t dp_end_compound(struct dp_end *end, const struct dp_opening *opening, double now,
                       const char *name, size_t size, uint8_t *into) {
    struct dp_reception reception;
    bool has_block = dp_incoming_report(&end->incoming, &reception);
    uint8_t *at = put32(into + 4, end->outgoing.ssrc);
    if (opening->is_sender) at = put_sender(at, end, now);
    if (has_block) at = put_block(at, &reception, opening);
    frame(into, at, has_block, opening->is_sender ? SENDER_REPORT : RECEIVER_REPORT);
    uint8_t *described = at;
    at = put32(at + 4, end->outgoing.ssrc);
    if (size > DP_NAME_MOST) size = DP_NAME_MOST;
    *at++ = CNAME;
    *at++ = (uint8_t)size;
    memcpy(at, name, size);
    at += size;
    /* One to four zero bytes end the items, on a boundary of four. */
    do *at++ = 0;
    while ((at - described) % 4);
    frame(described, at, 1, DESCRIPTION);
    return (size_t)(at - into);
}
