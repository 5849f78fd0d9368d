/*
 * Telephone-events whose clock differs from leg to leg (RFC 4733, sections 2.3 and 2.5.1.3).
 */
#include "media_rtp.h"

#define LONGEST 0xFFFFu
#define END 0x80
/* Event, flags and volume, and two bytes of duration. */
#define SIZE 4
#define DURATION 2
/* Ticks of one event; a day and more of any clock there is. */
#define MOST (UINT64_C(1) << 31)

static uint64_t duration_of(const uint8_t *block) {
    return (uint64_t)block[DURATION] << 8 | block[DURATION + 1];
}

static void put_duration(uint8_t *block, uint64_t duration) {
    uint64_t said = duration > LONGEST ? LONGEST : duration;
    block[DURATION] = (uint8_t)(said >> 8);
    block[DURATION + 1] = (uint8_t)said;
}

void dp_event_init(struct dp_named_event *event) {
    *event = (struct dp_named_event){.source = -1};
}

/* Whether a packet is of the same segment, of the next one, or else of another event. */
static void follow(struct dp_named_event *event, const struct dp_rtp *header, uint8_t code) {
    uint32_t ahead = header->timestamp - event->at;
    if (header->ssrc == event->source && code == event->code) {
        if (!ahead) return;
        /* A source may begin a segment with its next packet, which is not at once. */
        bool is_next = ahead >= LONGEST && ahead < 2 * LONGEST &&
                       !(header->second & DP_RTP_MARKER) && !event->is_over;
        if (is_next && event->before < MOST) {
            event->at = header->timestamp;
            event->before += LONGEST;
            return;
        }
    }
    *event = (struct dp_named_event){
        .source = header->ssrc, .code = code, .began = header->timestamp, .at = header->timestamp};
}

uint32_t dp_event_convert(struct dp_named_event *event, const struct dp_rtp *header,
                          uint8_t *payload, size_t size, uint32_t here, uint32_t there) {
    if (size < SIZE || size >= 2 * SIZE) {
        /* Several events in one packet are short ones, one after the other. */
        for (size_t at = 0; at + SIZE <= size; at += SIZE)
            put_duration(payload + at, duration_of(payload + at) * there / here);
        return 0;
    }
    follow(event, header, payload[0]);
    bool is_end = payload[1] & END;
    uint64_t duration = (event->before + duration_of(payload)) * there / here;
    uint64_t reached = duration ? (duration - 1) / LONGEST : 0;
    /* That a segment had the longest duration is said before the next one begins. */
    uint64_t shown = reached > event->segment && !is_end ? event->segment : reached;
    if (reached > event->segment) event->segment = reached;
    event->is_over = event->is_over || is_end;
    put_duration(payload, duration - shown * LONGEST);
    return (uint32_t)(shown * LONGEST) - (event->at - event->began);
}
