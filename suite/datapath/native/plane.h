/*
 * Sockets behind one epoll descriptor, packets in batches, and what Python is to hear of.
 *
 * A wake-up (dp_drain) takes what is readable, within a budget of packets, events and time. Each
 * kind of socket says what becomes of its packets: they go out by dp_out, which gathers them and
 * sends those of one socket together, or to Python by dp_tell. Nothing is allocated per packet.
 *
 * One thread. Within a drain nothing calls Python, so nothing is opened or closed by it then; a
 * socket may be forgotten by its own kind.
 */
#ifndef DP_PLANE_H
#define DP_PLANE_H

#include "table.h"

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#define DP_SLOTS 256
#define DP_BURST 64
#define DP_HEADROOM 64
#define DP_LARGEST 65535
#define DP_OUTS 256
#define DP_HEAD 64
#define DP_EVENTS 256

struct dp_plane;
struct dp_socket;

/* What a kind of socket does; each takes at most a share of the budget and says what it took. */
struct dp_kind {
    /* Read, at most `share` packets. Returns how many were taken; 0 counts as one. */
    int (*readable)(struct dp_plane *plane, struct dp_socket *socket, int share);
    /* Go on writing; NULL for datagram sockets. */
    void (*writable)(struct dp_plane *plane, struct dp_socket *socket);
    /* Empty the error queue; NULL: the pending error is read and dropped. */
    void (*errors)(struct dp_plane *plane, struct dp_socket *socket);
};

/* The first member of whatever owns a descriptor. */
struct dp_socket {
    const struct dp_kind *kind;
    int fd;
    int32_t first; /* of its packets that wait to go out, -1: none */
    int32_t last;
    uint8_t family;
    uint8_t burst;         /* packets to ask for in one system call */
    uint8_t lone;          /* calls in a row that gave one packet or none */
    uint32_t wake_up;      /* of the last one */
    uint8_t trains;        /* how likely runs of equal packets are */
    bool gro;              /* the kernel joins runs on receiving (UDP_GRO) */
    bool no_gso;           /* the kernel, or the way, takes no joined packets */
    uint16_t segment_most; /* longer packets are not joined: the way's MTU is less */
};

/* What became of packets on their way out; whoever sends keeps one for each counter it has. */
struct dp_tally {
    uint64_t packets;
    uint64_t octets;
    uint64_t failed;
};

/* One datagram that was received, or several of one source that the kernel has joined. */
struct dp_slot {
    uint8_t *data; /* DP_HEADROOM bytes before it may be overwritten, DP_LARGEST from it on */
    size_t size;
    size_t segment; /* bytes of each joined datagram but the last; as size where it is one */
    union dp_addr from;
};

/*
 * A datagram on its way out: up to three parts, which must stay as they are until dp_flush.
 * `head` is room for a header of its own.
 */
struct dp_out {
    struct iovec part[3];
    int parts;
    size_t size;   /* of all parts */
    size_t octets; /* what the tally counts */
    union dp_addr to;
    struct dp_tally *tally; /* NULL: nobody counts */
    int32_t next;
    uint8_t head[DP_HEAD];
};

/* Something for Python. */
struct dp_event {
    uint32_t kind;
    uint32_t size;
    uint64_t owner; /* handle of whatever it is about */
    uint64_t more;
    union dp_addr from;
    const uint8_t *data; /* in the plane's arena until dp_told */
};

struct dp_plane {
    int epoll;
    double now; /* of this wake-up: seconds of the clock that Python has */
    int budget; /* packets of one wake-up */
    uint32_t wake_up;
    struct dp_slot *slots; /* what dp_receive filled, from the first on */
    struct dp_slot all_slots[DP_SLOTS];
    int slots_used;
    struct dp_out outs[DP_OUTS];
    int outs_used;
    struct dp_socket *pending[DP_OUTS]; /* that have packets waiting */
    int pending_used;
    struct dp_event events[DP_EVENTS];
    int events_used;
    uint8_t *arena;
    size_t arena_used;
    uint64_t budget_exhausted; /* wake-ups that left something for the next one */
    uint64_t untold;           /* events that had no room */
    uint64_t numbers;          /* handles given so far */
    void *ready;               /* of the wake-up under way */
    int ready_count;
    void *streams;                                /* see stream.h */
    void (*take)(struct dp_plane *plane);         /* reads what slots hold for later, or NULL */
    void (*before_sleep)(struct dp_plane *plane); /* the last thing of every wake-up, or NULL */
    uint8_t *memory;
};

/* NULL with errno set if the kernel refuses. */
struct dp_plane *dp_open(void);
/* Every socket must be forgotten before. */
void dp_close(struct dp_plane *plane);

/* Handles are never reused. */
uint64_t dp_number(struct dp_plane *plane);

/*
 * Watch a non-blocking descriptor, which belongs to the plane from now on. 0, or -1 with errno;
 * then the descriptor is still the caller's.
 */
int dp_watch(struct dp_plane *plane, struct dp_socket *socket, int fd, const struct dp_kind *kind);
/* Say whether `writable` is to be called when the descriptor takes more. */
int dp_want_writable(struct dp_plane *plane, struct dp_socket *socket, bool wanted);
/* Close it; what waits to go out there is lost. */
void dp_forget(struct dp_plane *plane, struct dp_socket *socket);
/* The same, but leave the descriptor open and return it. */
int dp_release(struct dp_plane *plane, struct dp_socket *socket);

/* One wake-up. Returns how many events wait for Python. */
int dp_drain(struct dp_plane *plane, double now);
/* Python has taken all events. */
void dp_told(struct dp_plane *plane);

/*
 * Receive datagrams, at most `most`; returns how many of plane->slots are filled. They stay as
 * they are until whatever became of them is sent, which happens here where no slots are left.
 */
int dp_receive(struct dp_plane *plane, struct dp_socket *socket, int most);
/*
 * Let whoever has left packets in the slots take them, send what waits, and have all slots free.
 */
void dp_free_slots(struct dp_plane *plane);

/*
 * A new datagram for `to`; the caller fills in parts, size, octets and tally at once. If there is
 * no room, what waits is sent first.
 */
struct dp_out *dp_out(struct dp_plane *plane, struct dp_socket *socket, const union dp_addr *to);
/* Send all that waits. To be called after whatever sends outside of a wake-up. */
void dp_flush(struct dp_plane *plane);
/* Send all that waits, to streams too: the end of what is done outside of a wake-up. */
void dp_settle(struct dp_plane *plane);

/*
 * Tell Python; the bytes are copied. False if there is no room, which is counted. The kinds are
 * numbered by those who tell, see events.h.
 */
bool dp_tell(struct dp_plane *plane, uint32_t kind, uint64_t owner, uint64_t more,
             const union dp_addr *from, const uint8_t *data, size_t size);
/*
 * The same for a stream of bytes in parts. What follows an event of the same kind and owner is
 * appended to it as long as that has less than `most` bytes; its `more` counts the calls.
 */
bool dp_tell_joined(struct dp_plane *plane, uint32_t kind, uint64_t owner,
                    const struct iovec *parts, int count, size_t most);
/* Whether there is room for another `count` events of any size. */
bool dp_can_tell(const struct dp_plane *plane, int count);

/* Bytes of the address as the kernel wants them. */
socklen_t dp_addr_size(const union dp_addr *addr);
bool dp_addr_same(const union dp_addr *one, const union dp_addr *other);

#endif
