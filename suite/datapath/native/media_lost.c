/*
 * What is lost on the way to us, and what we can send again (RFC 4585, section 6.2.1).
 */
#include "media_rtp.h"

#include <string.h>

/* A step forward that is larger is another beginning. */
#define STEP 1000
#define LATE (0x10000 - STEP)
/* Seconds before the same packet is sent once more: the first one may be under way. */
#define SPACING 0.1
#define MASK (DP_KEPT_SIZE - 1)

void dp_missing_init(struct dp_missing *missing, double interval) {
    memset(missing, 0, sizeof *missing);
    missing->interval = interval;
    missing->ssrc = -1;
}

static void take_out(struct dp_missing *missing, int at) {
    missing->used--;
    memmove(missing->numbers + at, missing->numbers + at + 1,
            (size_t)(missing->used - at) * sizeof missing->numbers[0]);
}

static int find(const struct dp_missing *missing, uint16_t sequence) {
    for (int at = 0; at < missing->used; at++)
        if (missing->numbers[at] == sequence) return at;
    return -1;
}

/* The oldest are no use any more when they come. */
static void note(struct dp_missing *missing, uint16_t sequence) {
    if (find(missing, sequence) >= 0) return;
    if (missing->used == DP_MISSING_MOST) take_out(missing, 0);
    missing->numbers[missing->used++] = sequence;
}

/* So many after the highest are lost. */
static void lose(struct dp_missing *missing, unsigned count) {
    unsigned step = count > DP_MISSING_MOST ? count - DP_MISSING_MOST + 1 : 1;
    for (; step <= count; step++) note(missing, (uint16_t)(missing->highest + step));
}

void dp_missing_want(struct dp_missing *missing, uint32_t ssrc, uint16_t sequence) {
    uint16_t behind = (uint16_t)(missing->highest - sequence);
    if (ssrc == missing->ssrc && behind && behind < STEP) note(missing, sequence);
}

int dp_missing_receive(struct dp_missing *missing, const struct dp_rtp *header, double now,
                       uint16_t *asked) {
    uint16_t step = (uint16_t)(header->sequence - missing->highest);
    if (header->ssrc != missing->ssrc || (step >= STEP && step < LATE)) {
        missing->ssrc = header->ssrc;
        missing->highest = header->sequence;
        missing->used = 0;
        return 0;
    }
    if (step >= LATE) {
        int at = find(missing, header->sequence);
        if (at >= 0) take_out(missing, at);
        return 0;
    }
    if (step > 1) lose(missing, step - 1u);
    missing->highest = header->sequence;
    if (!missing->used) return 0;
    if (missing->has_asked && now - missing->asked < missing->interval) return 0;
    int count = missing->used;
    missing->has_asked = true;
    missing->asked = now;
    missing->used = 0;
    memcpy(asked, missing->numbers, (size_t)count * sizeof *asked);
    return count;
}

void dp_kept_init(struct dp_kept *kept) {
    for (int at = 0; at < DP_KEPT_SIZE; at++) kept->numbers[at] = -1;
}

void dp_kept_keep(struct dp_kept *kept, uint16_t sequence, const uint8_t *packet, size_t size) {
    int at = sequence & MASK;
    kept->numbers[at] = size <= DP_KEPT_LONGEST ? sequence : -1;
    kept->again[at] = 0;
    if (size > DP_KEPT_LONGEST) return;
    kept->sizes[at] = (uint16_t)size;
    memcpy(kept->packets[at], packet, size);
}

bool dp_kept_has(const struct dp_kept *kept, uint16_t sequence) {
    return kept->numbers[sequence & MASK] == sequence;
}

int dp_kept_again(struct dp_kept *kept, uint16_t sequence, double now) {
    int at = sequence & MASK;
    if (kept->numbers[at] != sequence || now < kept->again[at]) return -1;
    kept->again[at] = now + SPACING;
    return at;
}
