/*
 * Datagrams that tell where they came from, so that what leaves can be traced to what arrived.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include "input.h"
#include "table.h"

#include <stdbool.h>

/* What a tagged payload was sent for. */
struct origin {
    int fd; /* where it arrived */
    uint64_t flow;
    union dp_addr from;
    size_t size;
};

void traffic_reset(void);
/* Room that stays until traffic_reset; NULL if there is no more. */
uint8_t *traffic_room(size_t size);
/* Fill a payload; one of four bytes and more can be found again. */
void traffic_tag(uint8_t *payload, size_t size, const struct origin *origin);
/* Where it came from, or NULL if it carries no tag. Fails if it is not as it was. */
const struct origin *traffic_origin(const uint8_t *payload, size_t size);
/* Whether this is the first time that it is asked about. */
bool traffic_is_first(const struct origin *origin);
/* Bytes of the input, which carry no tag. */
uint8_t *traffic_raw(struct input *input, size_t wanted, size_t *size);

/* An address of a made-up host: 10.0.0.`host` or fd00::`host`. */
union dp_addr traffic_addr(bool six, uint8_t host, uint16_t port);

#endif
