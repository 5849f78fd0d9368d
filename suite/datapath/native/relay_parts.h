/*
 * What the relay's files share; others include relay.h only.
 */
#ifndef DP_RELAY_PARTS_H
#define DP_RELAY_PARTS_H

#include "events.h"
#include "relay.h"

#define DP_CHANNEL_HEAD 4
#define DP_STUN_HEAD 20
#define DP_ID_SIZE 12
#define DP_COOKIE 0x2112A442u
/* The most that fits into DATA beside an IPv6 peer. */
#define DP_PAYLOAD_MOST (0xFFFC - 28)
/* Frames for Python's streams are joined up to about one TLS record. */
#define DP_JOINED_MOST 16384

/*
 * Numbers begin at 1 and are never reused, so each has its own spaces in the table, told apart by
 * two bits.
 */
enum dp_space {
    DP_THINGS = 0,  /* by number: listener, relay or flow */
    DP_CLIENTS = 1, /* of a listener, by address: flow */
    DP_SOURCES = 1, /* of a relay, by address: channel; of a shared one: pair */
    DP_WAYS = 1,    /* of a flow, by address: way */
    DP_SHARED = 1,  /* of number 0, by address: shared relay */
    DP_HOSTS = 2,   /* of a flow, by the host that the client names: permission */
    DP_SEEKERS = 2, /* of a shared relay, by the number of another: who seek */
    DP_NAMES = 2,   /* of number 0, by a hash: name */
    DP_REACHED = 3, /* of a flow, by the host that packets come from: permission */
};

enum dp_thing_kind { DP_IS_LISTENER = 1, DP_IS_RELAY, DP_IS_FLOW };

/* The first member of whatever has a number. */
struct dp_thing {
    uint64_t number;
    struct dp_turn *turn;
    enum dp_thing_kind kind;
};

struct dp_turn {
    struct dp_plane *plane;
    struct dp_table table;
    struct dp_flow *flows;
    struct dp_listener *listeners;
    struct dp_relay *relays;
    struct dp_relay *shared; /* the shared ones, in the order of binding */
    struct dp_shared_totals totals;
    double now; /* what dp_turn_expire last said */
    uint64_t ignored;
    struct dp_tally to_clients;
    double refilled;
    bool was_refilled;
    unsigned ids_left;
    uint8_t ids[256 * DP_ID_SIZE];
};

struct dp_listener {
    struct dp_thing thing;
    struct dp_socket socket;
    struct dp_listener *before, *after;
    unsigned flows; /* that it must outlive, closed or not */
};

struct dp_relay {
    struct dp_thing thing;
    struct dp_socket socket;
    struct dp_relay *before, *after;
    struct dp_flow *flow; /* NULL: nobody's yet, or shared */
    bool is_shared;
    union dp_addr address; /* of a shared one */
    struct dp_relay *next_shared;
};

/* A permission. */
struct dp_peer {
    union dp_addr host;
    union dp_addr reached_at;
    double until;
    struct dp_peer *next;
    int ports_count;
    struct dp_ports ports[];
};

struct dp_channel {
    uint16_t number;
    union dp_addr address; /* as the client names the peer */
    union dp_addr target;
    double until;
    struct dp_flow *flow;
    struct dp_relay *relay; /* NULL over shared sockets */
    struct dp_way *way;     /* over shared sockets; NULL: it is over */
    struct dp_peer *peer;   /* NULL: the permission is over */
};

enum dp_client { DP_NOBODY, DP_UDP_CLIENT, DP_PYTHON_STREAM, DP_OTHER_STREAM };

struct dp_flow {
    struct dp_thing thing;
    struct dp_flow *before, *after;
    enum dp_client client;
    struct dp_listener *listener;
    union dp_addr address; /* of a UDP client */
    void *stream;
    dp_to_client to_client;
    struct dp_relay *relays[2]; /* IPv4, IPv6; or its homes among the shared ones */
    struct dp_sharing *sharing; /* NULL: the relay sockets are its own */
    struct dp_peer *peers;
    struct dp_channel **channels; /* by number */
    int channels_used;
    int channels_room;
    double soonest; /* when a permission or channel ends */
    uint64_t max_bps;
    uint64_t budget_up;
    uint64_t budget_down;
    struct dp_counters counters; /* without what `to_peers` counts */
    struct dp_tally to_peers;
};

/* A payload for a client with what stands before it there. */
struct dp_frame {
    uint8_t head[DP_HEAD];
    size_t head_size;
    uint8_t *payload;
    size_t size;
    size_t padding;
    bool has_headroom; /* DP_HEADROOM bytes before the payload may be overwritten */
};

struct dp_key dp_space_key(uint64_t number, enum dp_space space, const union dp_addr *addr);
struct dp_key dp_space_host_key(uint64_t number, enum dp_space space, const union dp_addr *addr);
void *dp_turn_find(const struct dp_turn *turn, uint64_t number, enum dp_thing_kind kind);
/* Give it a number. False if there is no memory. */
bool dp_turn_enter(struct dp_turn *turn, struct dp_thing *thing, enum dp_thing_kind kind);
void dp_turn_leave(struct dp_thing *thing);
const uint8_t *dp_turn_id(struct dp_turn *turn);

extern const struct dp_kind dp_listener_kind;
extern const struct dp_kind dp_relay_kind;
extern const struct dp_kind dp_shared_kind;
uint64_t dp_turn_add_relay(struct dp_turn *turn, struct dp_relay *relay, int fd,
                           const struct dp_kind *kind);
static inline struct dp_relay *dp_relay_of(struct dp_socket *socket) {
    return (struct dp_relay *)((char *)socket - offsetof(struct dp_relay, socket));
}
/* Tell the client of a flow what the error queue has; `flow_of` says whose a peer is. */
void dp_relay_report(struct dp_relay *relay,
                     struct dp_flow *(*flow_of)(struct dp_relay *, const union dp_addr *));
/* Close it and forget it. */
void dp_relay_close(struct dp_relay *relay);
void dp_listener_let_go(struct dp_listener *listener);

bool dp_same_host(const union dp_addr *one, const union dp_addr *other);

struct dp_relay *dp_flow_relay_for(const struct dp_flow *flow, int family);
struct dp_channel *dp_flow_channel(const struct dp_flow *flow, uint16_t number);
/* The permission that covers a packet from this address, or NULL. */
struct dp_peer *dp_flow_heard(const struct dp_flow *flow, const union dp_addr *from);
bool dp_peer_counts(const struct dp_peer *peer, uint16_t port);
void dp_flow_expire(struct dp_flow *flow, double now);
void dp_flow_refill(struct dp_flow *flow, double elapsed);
void dp_flow_forget_peers(struct dp_flow *flow);
/* Those to peers of one family. */
void dp_flow_forget_channels(struct dp_flow *flow, int family);

/* Hand a datagram to the kernel, or count it as dropped. */
void dp_flow_send_by(struct dp_flow *flow, struct dp_relay *relay, const union dp_addr *to,
                     const uint8_t *payload, size_t size, bool dont_fragment);

/* What a peer sent goes to the client, on the channel if there is one that is alive. */
void dp_flow_deliver(struct dp_flow *flow, const struct dp_channel *channel,
                     const union dp_addr *from, uint8_t *payload, size_t size, bool has_headroom);
/* The same: as ChannelData, or as a Data indication. */
void dp_flow_down_channel(struct dp_flow *flow, uint16_t number, uint8_t *payload, size_t size,
                          bool has_headroom);
void dp_flow_down_data(struct dp_flow *flow, const union dp_addr *shown, uint8_t *payload,
                       size_t size, bool has_headroom);
void dp_flow_down_icmp(struct dp_flow *flow, const union dp_addr *shown, uint8_t type, uint8_t code,
                       uint32_t mtu);

static inline uint16_t dp_read16(const uint8_t *at) {
    return (uint16_t)(at[0] << 8 | at[1]);
}

static inline uint32_t dp_read32(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void dp_write16(uint8_t *at, uint16_t value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static inline void dp_write32(uint8_t *at, uint32_t value) {
    dp_write16(at, (uint16_t)(value >> 16));
    dp_write16(at + 2, (uint16_t)value);
}

#endif
