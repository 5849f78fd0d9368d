#include "media_rtp.h"

#include <string.h>

/* RFC 3550, appendix A.1: a larger step forward is another beginning, fewer behind is late. */
#define MAX_DROPOUT 3000
#define MAX_MISORDER 100
#define LATE (0x10000 - MAX_MISORDER)
/* Seconds by which a timestamp advances at least when another source takes over. */
#define FRAME 0.02
/* With it the marker ends a picture; with other rates it begins a talkspurt (RFC 3551). */
#define VIDEO_RATE 90000
/* Seconds after which what we make ourselves begins anew. */
#define PAUSE 1.0

/* Headers */

static uint16_t get16(const uint8_t *data) {
    return (uint16_t)(data[0] << 8 | data[1]);
}

static uint32_t get32(const uint8_t *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void put16(uint8_t *data, uint16_t value) {
    data[0] = (uint8_t)(value >> 8);
    data[1] = (uint8_t)value;
}

static void put32(uint8_t *data, uint32_t value) {
    put16(data, (uint16_t)(value >> 16));
    put16(data + 2, (uint16_t)value);
}

void dp_rtp_read(struct dp_rtp *header, const uint8_t *data) {
    header->first = data[0];
    header->second = data[1];
    header->sequence = get16(data + 2);
    header->timestamp = get32(data + 4);
    header->ssrc = get32(data + 8);
}

void dp_rtp_write(const struct dp_rtp *header, uint8_t *data) {
    data[0] = header->first;
    data[1] = header->second;
    put16(data + 2, header->sequence);
    put32(data + 4, header->timestamp);
    put32(data + 8, header->ssrc);
}

bool dp_is_rtcp(uint8_t second) {
    return second >= 192 && second <= 223;
}

int dp_rtp_payload(const uint8_t *data, size_t size) {
    if (size < DP_RTP_HEADER || (data[0] & 0xC0) != 0x80) return -1;
    size_t start = DP_RTP_HEADER + 4 * (size_t)(data[0] & 0x0F);
    if (start > size) return -1;
    if (data[0] & 0x10) {
        if (start + 4 > size) return -1;
        start += 4 + 4 * (size_t)get16(data + start + 2);
        if (start > size) return -1;
    }
    if (data[0] & DP_RTP_PADDING && (data[size - 1] < 1 || data[size - 1] > size - start))
        return -1;
    return (int)start;
}

/* Received */

void dp_incoming_init(struct dp_incoming *stream) {
    memset(stream, 0, sizeof *stream);
    stream->ssrc = stream->timestamp = -1;
    stream->rate = 8000;
}

static int64_t lost_of(const struct dp_incoming *stream) {
    if (stream->ssrc < 0) return 0;
    return (int64_t)(stream->highest - stream->base + 1 - stream->received);
}

uint64_t dp_incoming_lost(const struct dp_incoming *stream) {
    int64_t lost = lost_of(stream);
    return stream->lost_before + (lost > 0 ? (uint64_t)lost : 0);
}

static void begin(struct dp_incoming *stream, const struct dp_rtp *header) {
    stream->lost_before = dp_incoming_lost(stream);
    stream->ssrc = header->ssrc;
    stream->highest = stream->base = header->sequence;
    stream->received = stream->expected_before = stream->received_before = 0;
    stream->timestamp = -1;
    stream->jitter = 0;
}

void dp_incoming_receive(struct dp_incoming *stream, const struct dp_rtp *header, double now,
                         uint32_t rate) {
    uint16_t step = (uint16_t)(header->sequence - stream->highest);
    if (header->ssrc != stream->ssrc || (step >= MAX_DROPOUT && step < LATE))
        begin(stream, header);
    else if (step < MAX_DROPOUT)
        stream->highest += step;
    stream->received++;
    /* Packets of one picture, or of one key press, waited for each other at their source. */
    if (header->timestamp == stream->timestamp) return;
    if (rate == stream->rate && stream->timestamp >= 0) {
        double sent = (int32_t)(header->timestamp - (uint32_t)stream->timestamp);
        double apart = (now - stream->arrived) * rate - sent;
        stream->jitter += ((apart >= 0 ? apart : -apart) - stream->jitter) / 16;
    }
    stream->rate = rate;
    stream->timestamp = header->timestamp;
    stream->arrived = now;
}

bool dp_incoming_report(struct dp_incoming *stream, struct dp_reception *found) {
    if (stream->ssrc < 0) return false;
    uint64_t expected = stream->highest - stream->base + 1;
    int64_t expected_now = (int64_t)(expected - stream->expected_before);
    int64_t lost_now = expected_now - (int64_t)(stream->received - stream->received_before);
    stream->expected_before = expected;
    stream->received_before = stream->received;
    int64_t fraction = expected_now > 0 && lost_now > 0 ? lost_now * 256 / expected_now : 0;
    found->ssrc = (uint32_t)stream->ssrc;
    found->fraction = fraction > 255 ? 255 : (uint32_t)fraction;
    found->lost = lost_of(stream);
    found->highest = (uint32_t)stream->highest;
    found->jitter = stream->jitter < 4294967295.0 ? (uint32_t)stream->jitter : UINT32_MAX;
    return true;
}

/* Sent */

/* To the nearest, from the middle to the even one, as Python rounds; up to 2^51. */
static int64_t rounded(double value) {
    volatile double shifted = value + 6755399441055744.0;
    return (int64_t)(shifted - 6755399441055744.0);
}

static uint32_t elapsed(const struct dp_outgoing *stream, double now, uint32_t rate) {
    if (!stream->has_sent) return 0;
    double passed = now - stream->at;
    return (uint32_t)rounded((passed > FRAME ? passed : FRAME) * rate);
}

static void next(struct dp_outgoing *stream, uint32_t advance, double now, uint32_t rate) {
    stream->sequence++;
    stream->timestamp += advance;
    stream->has_sent = true;
    stream->at = now;
    stream->rate = rate;
}

static void anchor(struct dp_outgoing *stream, struct dp_rtp *header, double now, uint32_t rate) {
    next(stream, elapsed(stream, now, rate), now, rate);
    stream->source = header->ssrc;
    stream->highest = header->sequence;
    stream->span = 0;
    stream->sequence_shift = (uint16_t)(stream->sequence - header->sequence);
    stream->timestamp_shift = stream->timestamp - header->timestamp;
    if (rate != VIDEO_RATE) header->second |= DP_RTP_MARKER;
}

bool dp_outgoing_take(struct dp_outgoing *stream, struct dp_rtp *header, double now,
                      uint32_t rate) {
    uint16_t step = (uint16_t)(header->sequence - stream->highest);
    if (header->ssrc != stream->source || (step >= MAX_DROPOUT && step < LATE)) {
        anchor(stream, header, now, rate);
    } else if (step >= LATE && 0x10000u - step > stream->span) {
        return false;
    } else if (step < MAX_DROPOUT) {
        stream->highest = header->sequence;
        stream->span += step;
        stream->sequence = (uint16_t)(header->sequence + stream->sequence_shift);
        stream->timestamp = header->timestamp + stream->timestamp_shift;
        stream->at = now;
        stream->rate = rate;
    }
    header->sequence = (uint16_t)(header->sequence + stream->sequence_shift);
    header->timestamp += stream->timestamp_shift;
    header->ssrc = stream->ssrc;
    return true;
}

void dp_outgoing_skip(struct dp_outgoing *stream, const struct dp_rtp *header) {
    uint16_t step = (uint16_t)(header->sequence - stream->highest);
    if (header->ssrc != stream->source || !step || step >= MAX_DROPOUT) return;
    stream->highest = (uint16_t)(stream->highest + step);
    stream->sequence_shift = (uint16_t)(stream->sequence_shift - step);
    stream->span = 0;
}

void dp_outgoing_make(struct dp_outgoing *stream, struct dp_rtp *header, uint32_t advance,
                      double now, uint32_t rate) {
    bool begins = stream->source != DP_OURSELVES || !stream->has_sent || now - stream->at > PAUSE;
    next(stream, begins ? elapsed(stream, now, rate) : advance, now, rate);
    stream->source = DP_OURSELVES;
    if (begins) header->second |= DP_RTP_MARKER;
    header->sequence = stream->sequence;
    header->timestamp = stream->timestamp;
    header->ssrc = stream->ssrc;
}

int32_t dp_outgoing_source_sequence(const struct dp_outgoing *stream, uint16_t sequence) {
    if (stream->source < 0 || (uint16_t)(stream->sequence - sequence) > stream->span) return -1;
    return (uint16_t)(sequence - stream->sequence_shift);
}

uint32_t dp_outgoing_timestamp_at(const struct dp_outgoing *stream, double now) {
    double passed = stream->has_sent ? now - stream->at : 0;
    return stream->timestamp + (uint32_t)(int64_t)(passed * stream->rate);
}
