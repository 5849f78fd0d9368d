#include "plane.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define READY 64
/* So many packets, and so much time, and the other things of the process have their turn. */
#define BUDGET_PACKETS 1024
#define BUDGET_NS 4000000
/* Python takes some 50 us for an event. */
#define BUDGET_EVENTS 64
#define SLOT_ROOM (DP_HEADROOM + DP_LARGEST + 1)
/* Untouched pages cost nothing. */
#define ARENA_SIZE ((size_t)(DP_EVENTS) * (DP_LARGEST + 1))
#define MEMORY_SIZE ((size_t)DP_SLOTS * SLOT_ROOM + ARENA_SIZE)
/* Runs of equal packets that make joining worth its price, and how long without them ends it. */
#define TRAINS_WANTED 8
#define TRAINS_MOST 64
/* Packets that a socket is asked for once it has more than one, and how often one ends that. */
#define BURST_FIRST 8
#define LONE_MOST 16

struct dp_plane *dp_open(void) {
    struct dp_plane *plane = calloc(1, sizeof *plane);
    if (!plane) return NULL;
    plane->memory = mmap(NULL, MEMORY_SIZE, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    plane->ready = calloc(READY, sizeof(struct epoll_event));
    plane->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (plane->memory == MAP_FAILED || !plane->ready || plane->epoll < 0) {
        int why = errno;
        dp_close(plane);
        errno = why;
        return NULL;
    }
    for (int at = 0; at < DP_SLOTS; at++)
        plane->all_slots[at].data = plane->memory + (size_t)at * SLOT_ROOM + DP_HEADROOM;
    plane->slots = plane->all_slots;
    plane->budget = BUDGET_PACKETS;
    plane->arena = plane->memory + (size_t)DP_SLOTS * SLOT_ROOM;
    return plane;
}

void dp_close(struct dp_plane *plane) {
    if (plane->memory && plane->memory != MAP_FAILED) munmap(plane->memory, MEMORY_SIZE);
    if (plane->epoll >= 0) close(plane->epoll);
    free(plane->ready);
    free(plane);
}

uint64_t dp_number(struct dp_plane *plane) {
    return ++plane->numbers;
}

socklen_t dp_addr_size(const union dp_addr *addr) {
    return addr->sa.sa_family == AF_INET6 ? sizeof addr->in6 : sizeof addr->in;
}

bool dp_addr_same(const union dp_addr *one, const union dp_addr *other) {
    if (one->sa.sa_family != other->sa.sa_family || one->in.sin_port != other->in.sin_port)
        return false;
    if (one->sa.sa_family == AF_INET) return one->in.sin_addr.s_addr == other->in.sin_addr.s_addr;
    return !memcmp(&one->in6.sin6_addr, &other->in6.sin6_addr, 16) &&
           one->in6.sin6_scope_id == other->in6.sin6_scope_id;
}

/* Sockets */

static int family_of(int fd) {
    union dp_addr own;
    socklen_t size = sizeof own;
    return getsockname(fd, &own.sa, &size) ? AF_UNSPEC : own.sa.sa_family;
}

int dp_watch(struct dp_plane *plane, struct dp_socket *socket, int fd, const struct dp_kind *kind) {
    memset(socket, 0, sizeof *socket);
    socket->kind = kind;
    socket->fd = fd;
    socket->first = socket->last = -1;
    socket->family = (uint8_t)family_of(fd);
    socket->burst = 1;
    socket->segment_most = UINT16_MAX;
    /* Measured: edges cost as much as levels, 0.2 us a packet, and forget what was left unread. */
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = socket};
    return epoll_ctl(plane->epoll, EPOLL_CTL_ADD, fd, &event);
}

int dp_want_writable(struct dp_plane *plane, struct dp_socket *socket, bool wanted) {
    struct epoll_event event = {.events = wanted ? EPOLLIN | EPOLLOUT : EPOLLIN,
                                .data.ptr = socket};
    return epoll_ctl(plane->epoll, EPOLL_CTL_MOD, socket->fd, &event);
}

static void drop_pending(struct dp_plane *plane, const struct dp_socket *socket) {
    for (int at = 0; at < plane->pending_used; at++)
        if (plane->pending[at] == socket) plane->pending[at] = NULL;
}

int dp_release(struct dp_plane *plane, struct dp_socket *socket) {
    struct epoll_event *ready = plane->ready;
    for (int at = 0; at < plane->ready_count; at++)
        if (ready[at].data.ptr == socket) ready[at].data.ptr = NULL;
    drop_pending(plane, socket);
    /* What still is given to it is refused by the kernel, and joins nobody else's queue. */
    socket->first = socket->last = -1;
    int fd = socket->fd;
    epoll_ctl(plane->epoll, EPOLL_CTL_DEL, fd, NULL);
    socket->fd = -1;
    return fd;
}

void dp_forget(struct dp_plane *plane, struct dp_socket *socket) {
    close(dp_release(plane, socket));
}

static void clear_error(const struct dp_socket *socket) {
    int error;
    socklen_t size = sizeof error;
    getsockopt(socket->fd, SOL_SOCKET, SO_ERROR, &error, &size);
}

/* A wake-up */

static int64_t clock_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int take(struct dp_plane *plane, const struct epoll_event *ready, int at, int share) {
    struct dp_socket *socket = ready[at].data.ptr;
    int spent = 0;
    if (ready[at].events & (EPOLLERR | EPOLLHUP) && !socket->kind->writable) {
        if (socket->kind->errors)
            socket->kind->errors(plane, socket);
        else
            clear_error(socket);
        spent++;
    }
    /* The socket may be gone after each. */
    if (ready[at].data.ptr && ready[at].events & EPOLLOUT && socket->kind->writable)
        socket->kind->writable(plane, socket);
    if (ready[at].data.ptr && ready[at].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        int taken = socket->kind->readable(plane, socket, share);
        spent += taken > 0 ? taken : 1;
    }
    return spent;
}

static bool exhausted(const struct dp_plane *plane, int left, int64_t until) {
    return left <= 0 || plane->events_used >= BUDGET_EVENTS || clock_ns() >= until;
}

int dp_drain(struct dp_plane *plane, double now) {
    struct epoll_event *ready = plane->ready;
    int left = plane->budget;
    int64_t until = clock_ns() + BUDGET_NS;
    plane->now = now;
    plane->wake_up++;
    while ((plane->ready_count = epoll_wait(plane->epoll, ready, READY, 0)) > 0) {
        int share = left / plane->ready_count;
        for (int at = 0; at < plane->ready_count && dp_can_tell(plane, 1); at++) {
            /* The next one, so that it is in the cache when it has its turn. */
            if (at + 1 < plane->ready_count) __builtin_prefetch(ready[at + 1].data.ptr);
            if (ready[at].data.ptr) left -= take(plane, ready, at, share > 0 ? share : 1);
        }
        dp_free_slots(plane);
        if (exhausted(plane, left, until)) {
            plane->budget_exhausted++;
            break;
        }
    }
    plane->ready_count = 0;
    if (plane->before_sleep) plane->before_sleep(plane);
    return plane->events_used;
}

void dp_settle(struct dp_plane *plane) {
    dp_flush(plane);
    if (plane->before_sleep) plane->before_sleep(plane);
}

/* Events */

bool dp_can_tell(const struct dp_plane *plane, int count) {
    return plane->events_used + count <= DP_EVENTS &&
           plane->arena_used + (size_t)count * (DP_LARGEST + 1) <= ARENA_SIZE;
}

bool dp_tell(struct dp_plane *plane, uint32_t kind, uint64_t owner, uint64_t more,
             const union dp_addr *from, const uint8_t *data, size_t size) {
    if (plane->events_used >= DP_EVENTS || size > ARENA_SIZE - plane->arena_used) {
        plane->untold++;
        return false;
    }
    struct dp_event *event = &plane->events[plane->events_used++];
    event->kind = kind;
    event->owner = owner;
    event->more = more;
    event->size = (uint32_t)size;
    event->data = plane->arena + plane->arena_used;
    memset(&event->from, 0, sizeof event->from);
    if (from) event->from = *from;
    if (size) memcpy(plane->arena + plane->arena_used, data, size);
    plane->arena_used += size;
    return true;
}

bool dp_tell_joined(struct dp_plane *plane, uint32_t kind, uint64_t owner,
                    const struct iovec *parts, int count, size_t most) {
    struct dp_event *last = plane->events_used ? &plane->events[plane->events_used - 1] : NULL;
    if (!last || last->kind != kind || last->owner != owner || last->size >= most) {
        if (!dp_tell(plane, kind, owner, 0, NULL, NULL, 0)) return false;
        last = &plane->events[plane->events_used - 1];
    }
    size_t size = 0;
    for (int at = 0; at < count; at++) size += parts[at].iov_len;
    if (size > ARENA_SIZE - plane->arena_used) {
        plane->untold++;
        return false;
    }
    for (int at = 0; at < count; at++) {
        if (parts[at].iov_len)
            memcpy(plane->arena + plane->arena_used, parts[at].iov_base, parts[at].iov_len);
        plane->arena_used += parts[at].iov_len;
    }
    last->size += (uint32_t)size;
    last->more++;
    return true;
}

void dp_told(struct dp_plane *plane) {
    plane->events_used = 0;
    plane->arena_used = 0;
}

/* Receiving */

static size_t joined_by(struct msghdr *message) {
    for (struct cmsghdr *found = CMSG_FIRSTHDR(message); found;
         found = CMSG_NXTHDR(message, found)) {
        if (found->cmsg_level == SOL_UDP && found->cmsg_type == UDP_GRO) {
            int segment;
            memcpy(&segment, CMSG_DATA(found), sizeof segment);
            return segment > 0 ? (size_t)segment : 0;
        }
    }
    return 0;
}

static void set_gro(struct dp_socket *socket, bool on) {
    int value = on;
    if (setsockopt(socket->fd, SOL_UDP, UDP_GRO, &value, sizeof value) == 0) socket->gro = on;
    socket->trains = on ? TRAINS_MOST : 0;
}

/* Join on receiving where runs come, and only there: asking for it costs a tenth of a packet. */
static void note_trains(struct dp_plane *plane, struct dp_socket *socket, int count) {
    bool is_train = false;
    for (int at = 0; at < count && !is_train; at++) {
        const struct dp_slot *slot = &plane->slots[at];
        if (socket->gro)
            is_train = slot->segment < slot->size;
        else
            is_train = at > 0 && slot->size == slot[-1].size && slot->size > 400 &&
                       dp_addr_same(&slot->from, &slot[-1].from);
    }
    if (is_train && socket->trains < TRAINS_MOST) socket->trains++;
    if (!is_train && socket->trains) socket->trains--;
    if (!socket->gro && socket->trains >= TRAINS_WANTED)
        set_gro(socket, true);
    else if (socket->gro && !socket->trains)
        set_gro(socket, false);
}

/*
 * How many packets the next call asks for. Most relay sockets have one at a time, and the call that
 * finds nothing more costs a tenth of a packet: only a socket that has another one within a wake-up
 * is asked for many. Where there are many, each call too much is a flush too much.
 */
static void adapt_burst(struct dp_plane *plane, struct dp_socket *socket, int count) {
    bool is_next = socket->wake_up == plane->wake_up;
    socket->wake_up = plane->wake_up;
    socket->lone = count > 1 ? 0 : (uint8_t)(socket->lone + 1);
    if (socket->burst == 1) {
        if (is_next) socket->burst = BURST_FIRST;
        socket->lone = 0;
    } else if (count == socket->burst && socket->burst < DP_BURST) {
        socket->burst = (uint8_t)(socket->burst * 2);
    } else if (socket->lone >= LONE_MOST) {
        socket->burst = 1;
    } else if (count * 4 < socket->burst && socket->burst > BURST_FIRST) {
        socket->burst = (uint8_t)(socket->burst / 2);
    }
}

/* Only between two receipts: until then somebody still reads the slots. */
void dp_free_slots(struct dp_plane *plane) {
    if (plane->take) plane->take(plane);
    dp_flush(plane);
    plane->slots_used = 0;
}

/* Most often there is one packet, and it needs none of what many need. */
static int receive_one(struct dp_plane *plane, struct dp_socket *socket) {
    struct dp_slot *slot = plane->slots;
    socklen_t from_size = sizeof slot->from;
    ssize_t size =
        recvfrom(socket->fd, slot->data, DP_LARGEST, MSG_DONTWAIT, &slot->from.sa, &from_size);
    if (size < 0) return 0;
    slot->size = slot->segment = (size_t)size;
    plane->slots_used++;
    adapt_burst(plane, socket, 1);
    return 1;
}

int dp_receive(struct dp_plane *plane, struct dp_socket *socket, int most) {
    static _Thread_local struct mmsghdr messages[DP_BURST];
    static _Thread_local struct iovec parts[DP_BURST];
    static _Thread_local union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } ancillary[DP_BURST];
    int wanted = socket->burst < most ? socket->burst : most;
    if (wanted > DP_BURST) wanted = DP_BURST;
    /* As an unsigned number it would be more slots than there are. */
    if (wanted <= 0) return 0;
    if (plane->slots_used + wanted > DP_SLOTS) dp_free_slots(plane);
    plane->slots = plane->all_slots + plane->slots_used;
    if (wanted == 1 && !socket->gro) return receive_one(plane, socket);
    for (int at = 0; at < wanted; at++) {
        struct msghdr *head = &messages[at].msg_hdr;
        parts[at] = (struct iovec){plane->slots[at].data, DP_LARGEST};
        *head = (struct msghdr){.msg_name = &plane->slots[at].from,
                                .msg_namelen = sizeof plane->slots[at].from,
                                .msg_iov = &parts[at],
                                .msg_iovlen = 1};
        if (socket->gro) {
            head->msg_control = ancillary[at].bytes;
            head->msg_controllen = sizeof ancillary[at].bytes;
        }
    }
    int count = recvmmsg(socket->fd, messages, (unsigned)wanted, MSG_DONTWAIT, NULL);
    if (count <= 0) return 0;
    plane->slots_used += count;
    for (int at = 0; at < count; at++) {
        struct dp_slot *slot = &plane->slots[at];
        size_t segment = socket->gro ? joined_by(&messages[at].msg_hdr) : 0;
        slot->size = messages[at].msg_len;
        slot->segment = segment && segment < slot->size ? segment : slot->size;
    }
    adapt_burst(plane, socket, count);
    if (count > 1 || socket->gro) note_trains(plane, socket, count);
    return count;
}
