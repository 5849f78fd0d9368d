/*
 * Whom an end believes, and where it sends: symmetric RTP (RFC 4961) behind address translation.
 *
 * The twin, with the reasons, is b2bua/rtp/latch.py.
 */
#ifndef DP_MEDIA_LATCH_H
#define DP_MEDIA_LATCH_H

#include "table.h"

#define DP_FORMER_MOST 4

struct dp_former {
    union dp_addr remote; /* what SDP named then */
    union dp_addr place;  /* where packets came from, or were to come from */
};

struct dp_latch {
    bool has_remote;
    bool has_source;
    bool has_target;
    bool is_in_doubt; /* the source is a former one */
    uint8_t former_used;
    double refused_until;
    union dp_addr source; /* the only one that is believed */
    union dp_addr target;
    union dp_addr remote;
    struct dp_former former[DP_FORMER_MOST]; /* the oldest first */
};

/* Take the address of the peer's SDP, NULL: none; another one than before unlocks. */
void dp_latch_aim(struct dp_latch *latch, const union dp_addr *remote, double now);
/* Whether a packet from there may be the peer's. */
bool dp_latch_hears(const struct dp_latch *latch, const union dp_addr *from, double now);
/* Believe only this source from now on, if it may be the peer's; say whether it may. */
bool dp_latch_lock(struct dp_latch *latch, const union dp_addr *from, double now);
/* Whether two addresses have host and port in common, whatever the scope. */
bool dp_place_same(const union dp_addr *one, const union dp_addr *other);

#endif
