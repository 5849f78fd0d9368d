#include "srtp_stand_in.h"

#include "kernel_inside.h"

#include <string.h>

#define HEADER 12
enum { DONE = 0, NOT_AUTHENTIC = 7 };

static void turn(uint8_t *packet, size_t size, uint8_t key) {
    for (size_t at = HEADER; at < size; at++) packet[at] ^= key;
}

static void write_tag(uint8_t *tag, const uint8_t *packet, size_t size, uint8_t key) {
    uint64_t sum = key;
    for (size_t at = 0; at < size; at++) sum = (sum ^ packet[at]) * 0x100000001B3U;
    memset(tag, key, SRTP_TAG);
    memcpy(tag, &sum, sizeof sum);
}

int srtp_stand_in_protect(void *session, void *packet, int *size) {
    const struct srtp_session *own = session;
    size_t used = (size_t)*size;
    uint8_t *tag = (uint8_t *)packet + used;
    REQUIRE(own->key && *size >= HEADER);
    if (own->fails) return NOT_AUTHENTIC;
    /* It may write behind a packet: that is in its contract. */
    if (sim_is_mapped(packet)) ASAN_UNPOISON_MEMORY_REGION(tag, SRTP_TAG);
    turn(packet, used, own->key);
    write_tag(tag, packet, used, own->key);
    *size += SRTP_TAG;
    return DONE;
}

int srtp_stand_in_unprotect(void *session, void *packet, int *size) {
    const struct srtp_session *own = session;
    uint8_t tag[SRTP_TAG];
    if (*size < HEADER + SRTP_TAG) return NOT_AUTHENTIC;
    size_t used = (size_t)*size - SRTP_TAG;
    write_tag(tag, packet, used, own->key);
    if (own->fails || memcmp(tag, (uint8_t *)packet + used, SRTP_TAG)) return NOT_AUTHENTIC;
    turn(packet, used, own->key);
    *size = (int)used;
    return DONE;
}
