/*
 * Ends of media (RFC 3550): what one receives its peer, the joined end, sends under numbers of its
 * own. Ends have sockets of their own (media_plain.c), or share a browser's (media_web.c).
 *
 * RTP stays here; RTCP, STUN and DTLS go to Python. The twin is suite/datapath/media_end.py.
 */
#ifndef DP_MEDIA_H
#define DP_MEDIA_H

#include "events.h"
#include "media_latch.h"
#include "media_rtp.h"
#include "media_srtp.h"
#include "plane.h"

/* Read from one socket before the others get their turn. */
#define DP_MEDIA_SHARE 32
/* What a datagram that Python reads takes from the budget of a wake-up, in packets. */
#define DP_MEDIA_COST 8
/* Packets of one end that go on in a second, and datagrams of RTCP that Python reads. */
#define DP_MEDIA_MOST 2000
#define DP_CONTROL_MOST (DP_MEDIA_MOST / DP_MEDIA_COST)
/* Bytes of the least RTCP that says anything. */
#define DP_MEDIA_SHORTEST 8
#define DP_NOT_MAPPED 0xFF

/* Why packets went nowhere; the words are StreamCounters'. */
enum dp_drop {
    DP_MALFORMED,
    DP_SOURCE,
    DP_PAYLOAD_TYPE,
    DP_HELD,
    DP_NOWHERE,
    DP_LATE,
    DP_REFUSED,
    DP_FLOOD,
    DP_UNAUTHENTIC,
    DP_TOO_LONG,
    DP_DROPS
};

/* What a traced packet did; `more` of DP_TRACE, with its size, or why, from the next byte on. */
enum { DP_WENT_IN, DP_WENT_OUT, DP_WENT_NOWHERE };

/* `more` of DP_RTCP, with the scope of the source above them. */
enum { DP_ON_CONTROL = 1 };
#define DP_SCOPE_AT 32

/* How packets of an end come and leave; all ends of a transport share one. */
struct dp_way {
    struct dp_socket *out; /* NULL: Python sends */
    struct dp_srtp srtp;
    struct dp_latch latch;
    uint64_t handle; /* of whoever takes RTCP, and packets that Python is to send */
};

/* What holds for a payload type. */
struct dp_number {
    uint32_t rate; /* 0: not told */
    uint32_t here; /* ticks of telephone-events to convert, 0: none, and what they become */
    uint32_t there;
    uint8_t mapped; /* the peer's payload type, or DP_NOT_MAPPED */
};

/* How many came in this second. */
struct dp_pace {
    double second; /* when it ends */
    unsigned taken;
};

/* Whether `most` came in this second; else one more did. */
bool dp_pace_is_over(struct dp_pace *pace, double now, unsigned most);

/* What every packet needs stands first, so that few lines of the cache have all of it. */
struct dp_end {
    struct dp_end *peer; /* the joined end; an echo is its own */
    struct dp_way *way;
    uint64_t handle;
    bool sends; /* by SDP we may send, and receive */
    bool receives;
    bool has_last;
    bool traced;
    bool traces_drops;
    struct dp_pace pace;
    double last_received;
    uint64_t received_packets;
    uint64_t received_octets;
    struct dp_missing *missing; /* NULL: nothing is asked for */
    struct dp_kept *kept;       /* NULL: nothing may be sent again */
    struct dp_incoming incoming;
    struct dp_outgoing outgoing;
    struct dp_tally sent; /* octets with headers */
    uint64_t failed_seen;
    uint64_t padding_sent;
    uint64_t forwarded;
    double trace_due[2]; /* by DP_WENT_IN and DP_WENT_OUT */
    uint64_t dropped[DP_DROPS];
    struct dp_named_event event;
    struct dp_number numbers[128];
};

void dp_end_init(struct dp_end *end, struct dp_plane *plane, struct dp_way *way);
/* Part it and give back what it holds. */
void dp_end_clear(struct dp_end *end);
/* Have in the cache soon what a packet of this end needs. */
void dp_end_warm(const struct dp_end *end);
/* Bridge two ends, or one with itself; who was joined to them before is joined to nothing. */
void dp_end_join(struct dp_end *one, struct dp_end *other);
void dp_end_part(struct dp_end *end);
void dp_end_drop(struct dp_plane *plane, struct dp_end *end, enum dp_drop why);
/* Why a packet of so many bytes could not be decrypted. */
enum dp_drop dp_why_sealed(size_t size);
/* False if there is no memory for it. */
bool dp_end_keep(struct dp_end *end, bool wanted);
bool dp_end_miss(struct dp_end *end, bool wanted, double interval);

/* A packet, in place: bytes before its payload may be overwritten, and behind it if it is alone. */
struct dp_packet {
    uint8_t *data;
    size_t size;
    bool is_alone;
};

/*
 * A packet of the peer's, believed, in the clear, whose payload begins at `start`. Nobody else's
 * comes here, so only the peer can use up what an end takes in a second.
 */
void dp_end_received(struct dp_plane *plane, struct dp_end *end, const struct dp_packet *packet,
                     size_t start);
/* What was sent for this end has been: count what the kernel refused. */
void dp_end_settle(struct dp_plane *plane, struct dp_end *end);

/* What becomes of packets of a socket. */
struct dp_reader {
    void (*take)(struct dp_plane *plane, struct dp_socket *socket, struct dp_slot *slot,
                 const struct dp_packet *packet);
    void (*settle)(struct dp_plane *plane, struct dp_socket *socket);
};

/*
 * Receive, and leave the packets to be taken together with those of other sockets: a system call
 * and the ciphers each push the other's code out of the cache. Returns how many there are.
 */
int dp_media_receive(struct dp_plane *plane, struct dp_socket *socket, int share,
                     const struct dp_reader *reader);
/* Send a packet of our own, if this end may send and knows where to. `payload` is at most 160. */
void dp_end_send_own(struct dp_plane *plane, struct dp_end *end, uint8_t payload_type,
                     const uint8_t *payload, size_t size, uint32_t advance, double now,
                     uint32_t rate);
/* Send what is ready for the wire at once; false if the kernel refuses. */
bool dp_way_put(struct dp_plane *plane, const struct dp_way *way, const uint8_t *data, size_t size);

bool dp_socket_put(struct dp_plane *plane, struct dp_socket *socket, const union dp_addr *to,
                   const uint8_t *data, size_t size);

#define DP_NAME_MOST 255
/* The longest report and name together. */
#define DP_COMPOUND_MOST 340

/* What only Python knows of a report. */
struct dp_opening {
    bool is_sender;
    uint32_t last_report; /* of the peer, and how long ago it came */
    uint32_t delay;
};

/* Write a report and a name, at most DP_COMPOUND_MOST bytes; returns how many. */
size_t dp_end_compound(struct dp_end *end, const struct dp_opening *opening, double now,
                       const char *name, size_t size, uint8_t *into);

/* Sockets of an end's own. */
struct dp_media_socket {
    struct dp_socket socket;
    struct dp_plain *plain;
};

struct dp_plain {
    struct dp_media_socket rtp;
    bool mux; /* RTCP comes on the RTP port too */
    struct dp_way way;
    struct dp_end end;
    struct dp_media_socket control;
    struct dp_latch control_latch;
    struct dp_pace control_pace; /* of RTCP on the RTP port */
};

/* Watch both sockets, which belong to it from then on. NULL with errno; then they do not. */
struct dp_plain *dp_plain_open(struct dp_plane *plane, int rtp, int control);
/* Close both sockets; what is asked of it afterwards comes to nothing. */
void dp_plain_close(struct dp_plane *plane, struct dp_plain *plain);
void dp_plain_free(struct dp_plane *plane, struct dp_plain *plain);

/* The transport of a browser: one way, several ends by their payload types. */
struct dp_transport {
    struct dp_way way;
    struct dp_end *by_number[128];
    struct dp_end *first; /* counts what is no end's */
    uint64_t dropped[DP_DROPS];
};

struct dp_web_socket {
    struct dp_socket socket;
    uint64_t handle;
    struct dp_transport *transport;
    union dp_addr *valid; /* whose media may come in here */
    int valid_count;
    int newest; /* of them: who sent last */
};

struct dp_transport *dp_transport_new(struct dp_plane *plane);
void dp_transport_free(struct dp_transport *transport);
/* An end is going, whatever numbers it still has. */
void dp_transport_forget(struct dp_transport *transport, const struct dp_end *end);
void dp_transport_drop(struct dp_plane *plane, struct dp_transport *transport, enum dp_drop why);
/* Take RTP or RTCP of the peer. */
void dp_transport_media(struct dp_plane *plane, struct dp_transport *transport,
                        const struct dp_packet *packet);
void dp_transport_settle(struct dp_plane *plane, struct dp_transport *transport);
/* The same for a packet that did not come by a socket. */
void dp_transport_arrived(struct dp_plane *plane, struct dp_transport *transport,
                          const uint8_t *data, size_t size, double now);

/* Watch a socket, which belongs to it from then on. NULL with errno; then it does not. */
struct dp_web_socket *dp_web_open(struct dp_plane *plane, int fd);
void dp_web_close(struct dp_plane *plane, struct dp_web_socket *socket);
/* Replace whose media may come in. False if there is no memory. */
bool dp_web_set_valid(struct dp_web_socket *socket, const union dp_addr *valid, int count);

#endif
