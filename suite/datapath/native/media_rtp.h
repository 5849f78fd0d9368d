/*
 * RTP streams (RFC 3550) as numbers: how a source is received, how a stream of ours is made of
 * others, what is missing, what may be sent again. No socket here.
 *
 * The twin is b2bua/rtp/{stream,missing,kept,event,packet}.py, with the same numbers.
 */
#ifndef DP_MEDIA_RTP_H
#define DP_MEDIA_RTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DP_RTP_HEADER 12
#define DP_RTP_MARKER 0x80
#define DP_RTP_PADDING 0x20
#define DP_MISSING_MOST 64
#define DP_KEPT_SIZE 256
/* The longest packet that SRTP takes. */
#define DP_KEPT_LONGEST 1500

struct dp_rtp {
    uint8_t first;
    uint8_t second;
    uint16_t sequence;
    uint32_t timestamp;
    uint32_t ssrc;
};

void dp_rtp_read(struct dp_rtp *header, const uint8_t *data);
void dp_rtp_write(const struct dp_rtp *header, uint8_t *data);
/* Whether the second byte tells RTCP on a shared port (RFC 5761, section 4). */
bool dp_is_rtcp(uint8_t second);
/* Where the payload begins; padding is checked too. Below zero: it is no packet. */
int dp_rtp_payload(const uint8_t *data, size_t size);

/* The newest telephone-event that an end receives (RFC 4733). */
struct dp_named_event {
    int64_t source; /* -1: none yet */
    uint8_t code;
    bool is_over;
    uint32_t began; /* timestamps of the event, and of the source's newest segment of it */
    uint32_t at;
    uint64_t before;  /* ticks of the source's segments before that one */
    uint64_t segment; /* how many of ours are complete */
};

void dp_event_init(struct dp_named_event *event);
/*
 * Convert the durations in a payload from one clock to another; `header` is as the packet came.
 * Returns what to add to its timestamp: what is too long for a duration is cut into segments.
 */
uint32_t dp_event_convert(struct dp_named_event *event, const struct dp_rtp *header,
                          uint8_t *payload, size_t size, uint32_t here, uint32_t there);

/* The packets of one source after another (RFC 3550, appendices A.1, A.3 and A.8). */
struct dp_incoming {
    int64_t ssrc; /* -1 before the first packet */
    uint32_t rate;
    uint64_t highest;
    uint64_t base;
    uint64_t received;
    uint64_t expected_before;
    uint64_t received_before;
    uint64_t lost_before;
    int64_t timestamp; /* -1: none yet of this source */
    double arrived;
    double jitter; /* in ticks */
};

struct dp_reception {
    uint32_t ssrc;
    uint32_t fraction;
    int64_t lost;
    uint32_t highest;
    uint32_t jitter;
};

void dp_incoming_init(struct dp_incoming *stream);
void dp_incoming_receive(struct dp_incoming *stream, const struct dp_rtp *header, double now,
                         uint32_t rate);
/* Packets missing, of all sources so far. */
uint64_t dp_incoming_lost(const struct dp_incoming *stream);
/* Since the report before; false before the first packet. */
bool dp_incoming_report(struct dp_incoming *stream, struct dp_reception *found);

enum { DP_NOBODY = -1, DP_OURSELVES = -2 };

/* The one source that an end sends as. */
struct dp_outgoing {
    uint32_t ssrc;
    int64_t source; /* SSRC of whoever feeds it, DP_NOBODY or DP_OURSELVES */
    uint16_t sequence;
    uint32_t timestamp;
    bool has_sent;
    double at;
    uint32_t rate;
    uint16_t highest;
    uint64_t span;
    uint16_t sequence_shift;
    uint32_t timestamp_shift;
};

/* Put our numbers into a header of another source; false if it is too old to have one. */
bool dp_outgoing_take(struct dp_outgoing *stream, struct dp_rtp *header, double now, uint32_t rate);
/* A packet of the source is left out: its number is not to look lost. */
void dp_outgoing_skip(struct dp_outgoing *stream, const struct dp_rtp *header);
/* Numbers of a packet of our own, `advance` ticks after the one before. */
void dp_outgoing_make(struct dp_outgoing *stream, struct dp_rtp *header, uint32_t advance,
                      double now, uint32_t rate);
/* The number that the source gave to a packet of ours; -1 if it is long past. */
int32_t dp_outgoing_source_sequence(const struct dp_outgoing *stream, uint16_t sequence);
uint32_t dp_outgoing_timestamp_at(const struct dp_outgoing *stream, double now);

/* The gaps of one source's numbers, each asked for once (RFC 4585, section 6.2.1). */
struct dp_missing {
    double interval;
    int64_t ssrc;
    uint16_t highest;
    bool has_asked;
    double asked;
    int used;
    uint16_t numbers[DP_MISSING_MOST]; /* in the order of their loss */
};

void dp_missing_init(struct dp_missing *missing, double interval);
/* How many numbers to ask for now; they are put into `asked`, room for DP_MISSING_MOST. */
int dp_missing_receive(struct dp_missing *missing, const struct dp_rtp *header, double now,
                       uint16_t *asked);
/* Ask for a packet of lately, with the next packet that may bring a request. */
void dp_missing_want(struct dp_missing *missing, uint32_t ssrc, uint16_t sequence);

/* The newest packets of a stream as they went over the wire. */
struct dp_kept {
    int32_t numbers[DP_KEPT_SIZE]; /* -1: none */
    double again[DP_KEPT_SIZE];
    uint16_t sizes[DP_KEPT_SIZE];
    uint8_t packets[DP_KEPT_SIZE][DP_KEPT_LONGEST];
};

void dp_kept_init(struct dp_kept *kept);
/* It takes the place of an old one; one that is longer than any of SRTP only ends the old one. */
void dp_kept_keep(struct dp_kept *kept, uint16_t sequence, const uint8_t *packet, size_t size);
bool dp_kept_has(const struct dp_kept *kept, uint16_t sequence);
/* The packet, if it is time to send it again; -1 if not, else its place. */
int dp_kept_again(struct dp_kept *kept, uint16_t sequence, double now);

#endif
