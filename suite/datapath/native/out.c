/*
 * Sending: what waits at one socket leaves together, and runs to one peer leave as one.
 *
 * A system call for many datagrams (sendmmsg) saves little, since the kernel walks its stack for
 * each of them; a run of equal ones that it cuts itself (UDP_SEGMENT) costs one walk.
 */
#include "plane.h"

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

/* The kernel's own limits: segments of one run, and bytes of a datagram with its headers. */
#define SEGMENTS_MOST 64
#define RUN_MOST 65000
/* Every way takes such packets, so no refusal can be for their size. */
#define SEGMENT_LEAST 1200

/* What leaves in one datagram or run: `count` packets from `first` on. */
struct run {
    int first;
    int count;
};

struct batch {
    struct mmsghdr messages[DP_OUTS];
    struct run runs[DP_OUTS];
    struct iovec parts[DP_OUTS * 3];
    union {
        char bytes[CMSG_SPACE(sizeof(uint16_t))];
        struct cmsghdr align;
    } ancillary[DP_OUTS];
    int used;
    int parts_used;
};

struct dp_out *dp_out(struct dp_plane *plane, struct dp_socket *socket, const union dp_addr *to) {
    if (plane->outs_used == DP_OUTS) dp_flush(plane);
    int at = plane->outs_used++;
    struct dp_out *out = &plane->outs[at];
    out->to = *to;
    out->next = -1;
    out->tally = NULL;
    out->parts = 0;
    out->size = out->octets = 0;
    if (socket->first < 0) {
        socket->first = at;
        plane->pending[plane->pending_used++] = socket;
    } else {
        plane->outs[socket->last].next = at;
    }
    socket->last = at;
    return out;
}

static void count_sent(struct dp_plane *plane, int at) {
    const struct dp_out *out = &plane->outs[at];
    if (!out->tally) return;
    out->tally->packets++;
    out->tally->octets += out->octets;
}

static void count_failed(struct dp_plane *plane, int at) {
    if (plane->outs[at].tally) plane->outs[at].tally->failed++;
}

/* Whether the kernel tells of an earlier packet, whose ICMP error came back: this one did not go.
 */
static bool tells_of_another(int error) {
    return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH ||
           error == EHOSTDOWN;
}

static bool send_one(const struct dp_socket *socket, struct dp_out *out) {
    struct msghdr head = {.msg_name = &out->to,
                          .msg_namelen = dp_addr_size(&out->to),
                          .msg_iov = out->part,
                          .msg_iovlen = (size_t)out->parts};
    for (int attempt = 0; attempt < 2; attempt++) {
        ssize_t sent = out->parts == 1
                           ? sendto(socket->fd, out->part[0].iov_base, out->part[0].iov_len,
                                    MSG_DONTWAIT | MSG_NOSIGNAL, &out->to.sa, head.msg_namelen)
                           : sendmsg(socket->fd, &head, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return true;
        if (!tells_of_another(errno)) return false;
    }
    return false;
}

static void send_each(struct dp_plane *plane, const struct dp_socket *socket, struct run run) {
    for (int at = run.first, left = run.count; left > 0; at = plane->outs[at].next, left--) {
        if (send_one(socket, &plane->outs[at]))
            count_sent(plane, at);
        else
            count_failed(plane, at);
    }
}

/* How many packets from `first` on the kernel can take as one: equal ones, and a shorter last. */
static struct run run_from(const struct dp_plane *plane, const struct dp_socket *socket,
                           int first) {
    struct run run = {first, 1};
    const struct dp_out *head = &plane->outs[first];
    size_t total = head->size;
    if (socket->no_gso || !head->size || head->size > socket->segment_most) return run;
    for (int at = head->next; at >= 0 && run.count < SEGMENTS_MOST; at = plane->outs[at].next) {
        const struct dp_out *out = &plane->outs[at];
        total += out->size;
        if (!out->size || out->size > head->size || total > RUN_MOST ||
            !dp_addr_same(&out->to, &head->to))
            break;
        run.count++;
        if (out->size < head->size) break;
    }
    return run;
}

static void ask_to_cut(struct msghdr *head, char *ancillary, size_t room, size_t segment) {
    uint16_t size = (uint16_t)segment;
    head->msg_control = ancillary;
    head->msg_controllen = room;
    struct cmsghdr *about = CMSG_FIRSTHDR(head);
    about->cmsg_level = SOL_UDP;
    about->cmsg_type = UDP_SEGMENT;
    about->cmsg_len = CMSG_LEN(sizeof size);
    memcpy(CMSG_DATA(about), &size, sizeof size);
}

/* Put a run into the batch. Returns the packet after it, or -1. */
static int add_run(struct dp_plane *plane, struct batch *batch, struct run run) {
    struct msghdr *head = &batch->messages[batch->used].msg_hdr;
    struct dp_out *out = &plane->outs[run.first];
    *head = (struct msghdr){.msg_name = &out->to,
                            .msg_namelen = dp_addr_size(&out->to),
                            .msg_iov = &batch->parts[batch->parts_used]};
    if (run.count > 1)
        ask_to_cut(head, batch->ancillary[batch->used].bytes, sizeof batch->ancillary[0].bytes,
                   out->size);
    int at = run.first;
    for (int left = run.count; left > 0; left--, at = out->next) {
        out = &plane->outs[at];
        memcpy(&batch->parts[batch->parts_used], out->part,
               (size_t)out->parts * sizeof out->part[0]);
        batch->parts_used += out->parts;
        head->msg_iovlen += (size_t)out->parts;
    }
    batch->runs[batch->used++] = run;
    return at;
}

static void count_run(struct dp_plane *plane, struct run run) {
    for (int at = run.first, left = run.count; left > 0; at = plane->outs[at].next, left--)
        count_sent(plane, at);
}

/* No joined packets at all without checksums by the device, and none beyond the MTU. */
static void note_refusal(struct dp_socket *socket, size_t size, int error) {
    if (error == EIO || error == EOPNOTSUPP) socket->no_gso = true;
    if (error == EINVAL && size > SEGMENT_LEAST) socket->segment_most = (uint16_t)(size - 1);
}

static void send_batch(struct dp_plane *plane, struct dp_socket *socket, struct batch *batch) {
    int done = 0;
    while (done < batch->used) {
        int sent = sendmmsg(socket->fd, batch->messages + done, (unsigned)(batch->used - done),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        for (int at = 0; at < sent; at++) count_run(plane, batch->runs[done + at]);
        if (sent > 0) {
            done += sent;
            continue;
        }
        /* The kernel says why it did not take the first one. */
        struct run run = batch->runs[done++];
        if (run.count > 1) note_refusal(socket, plane->outs[run.first].size, errno);
        if (errno == EAGAIN || errno == EWOULDBLOCK)
            for (int at = run.first, left = run.count; left > 0; at = plane->outs[at].next, left--)
                count_failed(plane, at);
        else
            send_each(plane, socket, run);
    }
}

static void send_all(struct dp_plane *plane, struct dp_socket *socket) {
    static _Thread_local struct batch batch;
    int first = socket->first;
    socket->first = socket->last = -1;
    if (plane->outs[first].next < 0) {
        send_each(plane, socket, (struct run){first, 1});
        return;
    }
    batch.used = batch.parts_used = 0;
    while (first >= 0) first = add_run(plane, &batch, run_from(plane, socket, first));
    send_batch(plane, socket, &batch);
}

void dp_flush(struct dp_plane *plane) {
    for (int at = 0; at < plane->pending_used; at++)
        if (plane->pending[at]) send_all(plane, plane->pending[at]);
    plane->pending_used = 0;
    plane->outs_used = 0;
}
