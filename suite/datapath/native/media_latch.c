#include "media_latch.h"

#include "plane.h"

#include <string.h>

#define FORMER_FOR 3.0

static bool host_same(const union dp_addr *one, const union dp_addr *other) {
    if (one->sa.sa_family != other->sa.sa_family) return false;
    if (one->sa.sa_family == AF_INET) return one->in.sin_addr.s_addr == other->in.sin_addr.s_addr;
    return !memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, 16);
}

bool dp_place_same(const union dp_addr *one, const union dp_addr *other) {
    /* The port lies at the same place for both families. */
    return one->in.sin_port == other->in.sin_port && host_same(one, other);
}

static void drop_former(struct dp_latch *latch, int at) {
    latch->former_used--;
    memmove(latch->former + at, latch->former + at + 1,
            (size_t)(latch->former_used - at) * sizeof latch->former[0]);
}

static int find_former(const struct dp_latch *latch, const union dp_addr *remote) {
    for (int at = 0; at < latch->former_used; at++)
        if (dp_place_same(&latch->former[at].remote, remote)) return at;
    return -1;
}

static void remember(struct dp_latch *latch) {
    int at = find_former(latch, &latch->remote);
    if (at < 0) {
        if (latch->former_used == DP_FORMER_MOST) drop_former(latch, 0);
        at = latch->former_used++;
    }
    latch->former[at].remote = latch->remote;
    latch->former[at].place = latch->has_source ? latch->source : latch->remote;
}

static bool is_former(const struct dp_latch *latch, const union dp_addr *place) {
    if (latch->has_remote && dp_place_same(place, &latch->remote)) return false;
    for (int at = 0; at < latch->former_used; at++)
        if (dp_place_same(&latch->former[at].place, place)) return true;
    return false;
}

void dp_latch_aim(struct dp_latch *latch, const union dp_addr *remote, double now) {
    bool same = remote && latch->has_remote ? dp_place_same(remote, &latch->remote)
                                            : !remote && !latch->has_remote;
    if (same) return;
    if (latch->has_remote && !latch->is_in_doubt) remember(latch);
    if (remote) {
        /* Who is named again may come from where it came before. */
        int at = find_former(latch, remote);
        if (at >= 0) drop_former(latch, at);
        latch->remote = latch->target = *remote;
    }
    latch->has_remote = latch->has_target = remote != NULL;
    latch->has_source = latch->is_in_doubt = false;
    latch->refused_until = now + FORMER_FOR;
}

bool dp_latch_hears(const struct dp_latch *latch, const union dp_addr *from, double now) {
    bool is_source = latch->has_source && dp_addr_same(from, &latch->source);
    if (latch->has_source && !latch->is_in_doubt) return is_source;
    if (!latch->has_remote || !host_same(from, &latch->remote)) return false;
    if (!is_former(latch, from) || is_source) return true;
    return !latch->has_source && now >= latch->refused_until;
}

bool dp_latch_lock(struct dp_latch *latch, const union dp_addr *from, double now) {
    if (!dp_latch_hears(latch, from, now)) return false;
    latch->source = latch->target = *from;
    latch->has_source = latch->has_target = true;
    latch->is_in_doubt = is_former(latch, from);
    return true;
}
