/*
 * Ends with sockets of their own, RTP on one and RTCP beside it: SIP phones and SIP Servers.
 */
#include "media.h"

#include <errno.h>
#include <stdlib.h>

static int read_rtp(struct dp_plane *plane, struct dp_socket *socket, int share);
static int read_control(struct dp_plane *plane, struct dp_socket *socket, int share);

static const struct dp_kind rtp_kind = {.readable = read_rtp};
static const struct dp_kind control_kind = {.readable = read_control};

struct dp_plain *dp_plain_open(struct dp_plane *plane, int rtp, int control) {
    struct dp_plain *plain = calloc(1, sizeof *plain);
    if (!plain) return NULL;
    dp_end_init(&plain->end, plane, &plain->way);
    if (dp_watch(plane, &plain->rtp.socket, rtp, &rtp_kind)) goto failed;
    if (dp_watch(plane, &plain->control.socket, control, &control_kind)) {
        dp_release(plane, &plain->rtp.socket);
        goto failed;
    }
    plain->rtp.plain = plain->control.plain = plain;
    plain->way.handle = plain->end.handle;
    plain->way.out = &plain->rtp.socket;
    return plain;
failed:;
    int why = errno;
    free(plain);
    errno = why;
    return NULL;
}

void dp_plain_close(struct dp_plane *plane, struct dp_plain *plain) {
    dp_end_part(&plain->end);
    if (plain->rtp.socket.fd < 0) return;
    dp_forget(plane, &plain->rtp.socket);
    dp_forget(plane, &plain->control.socket);
}

void dp_plain_free(struct dp_plane *plane, struct dp_plain *plain) {
    dp_plain_close(plane, plain);
    dp_end_clear(&plain->end);
    free(plain);
}

static void tell_control(struct dp_plane *plane, const struct dp_plain *plain,
                         const struct dp_slot *slot, const struct dp_packet *packet,
                         uint64_t flags) {
    uint64_t scope = slot->from.sa.sa_family == AF_INET6 ? slot->from.in6.sin6_scope_id : 0;
    dp_tell(plane, DP_RTCP, plain->way.handle, scope << DP_SCOPE_AT | flags, &slot->from,
            packet->data, packet->size);
}

/*
 * RTCP on the RTP port. Python finds out whether it is authentic, and that is what costs: so it is
 * counted before, and apart from RTP, which goes on whatever calls itself RTCP.
 */
static void take_control(struct dp_plane *plane, struct dp_plain *plain, const struct dp_slot *slot,
                         const struct dp_packet *packet) {
    if (dp_pace_is_over(&plain->control_pace, plane->now, DP_CONTROL_MOST))
        dp_end_drop(plane, &plain->end, DP_FLOOD);
    else
        tell_control(plane, plain, slot, packet, 0);
}

/* The peer sends from here: what others may have used up before is not its own. */
static void lock(struct dp_plane *plane, struct dp_plain *plain, const union dp_addr *from) {
    dp_latch_lock(&plain->way.latch, from, plane->now);
    plain->end.pace = plain->control_pace = (struct dp_pace){0};
}

/* Strangers end at the first check, and whatever is no authentic RTP before anything is counted. */
static void take_rtp(struct dp_plane *plane, struct dp_socket *socket, struct dp_slot *slot,
                     const struct dp_packet *packet) {
    struct dp_plain *plain = ((struct dp_media_socket *)socket)->plain;
    struct dp_end *end = &plain->end;
    const struct dp_latch *latch = &plain->way.latch;
    const struct dp_srtp *srtp = &plain->way.srtp;
    bool is_source = latch->has_source && dp_addr_same(&slot->from, &latch->source);
    if (!is_source && !dp_latch_hears(latch, &slot->from, plane->now)) {
        dp_end_drop(plane, end, DP_SOURCE);
        return;
    }
    if (plain->mux && packet->size >= DP_MEDIA_SHORTEST && dp_is_rtcp(packet->data[1])) {
        take_control(plane, plain, slot, packet);
        return;
    }
    struct dp_packet clear = *packet;
    if (srtp->wanted) clear.size = dp_unprotect(srtp, packet->data, packet->size);
    if (srtp->wanted && !clear.size) {
        dp_end_drop(plane, end, dp_why_sealed(packet->size));
        return;
    }
    int start = dp_rtp_payload(clear.data, clear.size);
    if (start < 0) {
        dp_end_drop(plane, end, DP_MALFORMED);
        return;
    }
    if (!is_source) lock(plane, plain, &slot->from);
    dp_end_received(plane, end, &clear, (size_t)start);
}

static void settle_rtp(struct dp_plane *plane, struct dp_socket *socket) {
    dp_end_settle(plane, &((struct dp_media_socket *)socket)->plain->end);
}

static int read_rtp(struct dp_plane *plane, struct dp_socket *socket, int share) {
    static const struct dp_reader reader = {take_rtp, settle_rtp};
    /* The system call takes longer than the memory. */
    dp_end_warm(&((struct dp_media_socket *)socket)->plain->end);
    return dp_media_receive(plane, socket, share, &reader);
}

static int read_control(struct dp_plane *plane, struct dp_socket *socket, int share) {
    struct dp_plain *plain = ((struct dp_media_socket *)socket)->plain;
    int most = share / DP_MEDIA_COST;
    int count = dp_receive(plane, socket, most > 0 ? most : 1);
    for (int at = 0; at < count; at++) {
        struct dp_slot *slot = &plane->slots[at];
        struct dp_packet packet = {slot->data, slot->size, true};
        if (dp_latch_hears(&plain->control_latch, &slot->from, plane->now))
            tell_control(plane, plain, slot, &packet, DP_ON_CONTROL);
        else
            dp_end_drop(plane, &plain->end, DP_SOURCE);
    }
    return count * DP_MEDIA_COST;
}
