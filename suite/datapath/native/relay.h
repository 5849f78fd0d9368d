/*
 * The TURN relay's packets (RFC 8656, sections 11 and 12): ChannelData, Send and Data between
 * clients and peers, without a decision of its own. turn/data_plane.py says what holds.
 *
 * A flow is a client, its relay sockets, permissions and channels. Listeners, relay sockets and
 * flows are known to Python by numbers; a number that is nothing any more is an error (ENOENT).
 */
#ifndef DP_RELAY_H
#define DP_RELAY_H

#include "plane.h"

struct dp_turn;
struct dp_flow;

/* As turn.data_plane.Counters. */
struct dp_counters {
    uint64_t received_packets;
    uint64_t received_bytes;
    uint64_t sent_packets;
    uint64_t sent_bytes;
    uint64_t peer_received_packets;
    uint64_t peer_received_bytes;
    uint64_t peer_sent_packets;
    uint64_t peer_sent_bytes;
    uint64_t dropped_packets;
};

/* As turn.data_plane.SharedTotals. */
struct dp_shared_totals {
    uint64_t pairs;
    uint64_t links;
    uint64_t unclaimed;
    uint64_t refused;
};

struct dp_ports {
    uint16_t first;
    uint16_t last;
};

/*
 * What takes frames for a client whose stream is not Python's. The parts are one frame, padded to
 * a multiple of four, of `size` bytes in all; they are valid during the call only. No parts: the
 * flow is over.
 */
typedef void (*dp_to_client)(struct dp_plane *plane, void *stream, const struct iovec *parts,
                             int count, size_t size);

/* The relay of a plane; NULL with errno set. */
struct dp_turn *dp_turn_open(struct dp_plane *plane);
/* Close every socket and flow. */
void dp_turn_close(struct dp_turn *turn);
/* Datagrams that were neither STUN nor known ChannelData. */
uint64_t dp_turn_ignored(const struct dp_turn *turn);
/* What is kept at all, for tests: nothing may be left of flows that are over. */
size_t dp_turn_entries(const struct dp_turn *turn);
/* Count one that somebody else has read in vain. */
void dp_turn_ignore(struct dp_turn *turn);
/* Datagrams to clients that the kernel refused. */
uint64_t dp_turn_unsent(const struct dp_turn *turn);

/*
 * Watch a bound socket that clients send to, or one that peers send to. The descriptor belongs to
 * the relay from now on. Returns the number, or 0 with errno set and the descriptor closed.
 */
uint64_t dp_turn_listen(struct dp_turn *turn, int fd);
uint64_t dp_turn_bind(struct dp_turn *turn, int fd);
/* One that many flows share: turn/data_plane.py has the rules. */
uint64_t dp_turn_bind_shared(struct dp_turn *turn, int fd);
struct dp_shared_totals dp_turn_totals(const struct dp_turn *turn);
/* 0, or -1 if there is none such. */
int dp_turn_stop_listening(struct dp_turn *turn, uint64_t listener);
int dp_turn_release(struct dp_turn *turn, uint64_t relay);
/* Send a STUN message to a client. */
void dp_turn_answer(struct dp_turn *turn, uint64_t listener, const union dp_addr *to,
                    const uint8_t *message, size_t size);
/* Forget what is over and refill the budgets of bytes. */
void dp_turn_expire(struct dp_turn *turn, double now);

/* A flow whose client is not known yet; NULL without memory. */
struct dp_flow *dp_flow_open(struct dp_turn *turn, uint64_t max_bps);
struct dp_flow *dp_flow_find(const struct dp_turn *turn, uint64_t number);
uint64_t dp_flow_number(const struct dp_flow *flow);
/* Its client is at this address and reached by this listener. */
int dp_flow_set_udp(struct dp_flow *flow, uint64_t listener, const union dp_addr *client);
/* Its client has a stream that Python reads and writes: frames for it are DP_TO_STREAM events. */
void dp_flow_set_python(struct dp_flow *flow);
/* Its client has another stream; NULL: the stream is gone and frames for it are dropped. */
void dp_flow_set_stream(struct dp_flow *flow, void *stream, dp_to_client to_client);
int dp_flow_add_relay(struct dp_flow *flow, uint64_t relay);
/* Its relay sockets will be shared ones; at most so many pairs there, 0: any number. */
int dp_flow_share(struct dp_flow *flow, uint64_t max_peers);
/* Take one of its relay sockets away; its channels end with it, and it is closed unless shared. */
int dp_flow_drop_relay(struct dp_flow *flow, uint64_t relay);
/* Close its relay sockets and free it. */
void dp_flow_close(struct dp_flow *flow, struct dp_counters *counters);
void dp_flow_count(const struct dp_flow *flow, struct dp_counters *counters);

/*
 * Install or refresh a permission or a channel. 0, or -1 with errno: ENOMEM, EAFNOSUPPORT if the
 * flow has no way to the peer, ENOENT without the permission.
 */
int dp_flow_permit(struct dp_flow *flow, const union dp_addr *host, const union dp_addr *reached_at,
                   const struct dp_ports *ports, int ports_count, double until);
int dp_flow_bind_channel(struct dp_flow *flow, uint16_t number, const union dp_addr *peer,
                         double until);
/* Have a way to a peer, which is reached at this address. -1: there is none (rule 2). */
int dp_flow_claim(struct dp_flow *flow, const union dp_addr *target);
/* The client has named the peer that is reached at this address (rule 11). */
void dp_flow_want(struct dp_flow *flow, const union dp_addr *target);

/*
 * Forward one whole ChannelData message or Send indication, whose bytes stay as they are until
 * dp_flush. NULL: the client has no flow, and what it sends is ignored.
 */
void dp_flow_from_client(struct dp_turn *turn, struct dp_flow *flow, const uint8_t *frame,
                         size_t size);
/* Forward what a Send indication asks for; the bytes stay as they are until dp_flush. */
void dp_flow_send(struct dp_flow *flow, const union dp_addr *peer, const uint8_t *payload,
                  size_t size, bool dont_fragment);

#endif
