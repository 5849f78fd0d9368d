/*
 * Relay sockets that many flows share (coTURN's multiplex-peer). The rules are those of
 * turn/data_plane.py, by their numbers.
 */
#ifndef DP_RELAY_SHARED_H
#define DP_RELAY_SHARED_H

#include "relay_parts.h"

#define DP_LINK_SILENCE 30.0
#define DP_NAMES_MOST 4
#define DP_NAME_MOST 256
#define DP_NOTES_MOST 8

/*
 * A flow's way to one peer over shared sockets: a pair (rule 1), or the address of a shared socket
 * as this flow means it (rules 9 to 12).
 */
struct dp_way {
    bool is_pair;
    bool wanted; /* of a name: the client has asked for it */
    struct dp_flow *flow;
    struct dp_way *before, *after; /* of the flow */
    union dp_addr target;
    struct dp_channel *channel;
    struct dp_relay *home; /* the pair's socket, or the one whose address the name is */
    struct dp_relay *own;  /* of a name: the flow's home */
    struct dp_link *link;
    struct dp_seekers *seekers;     /* NULL: it seeks nobody */
    struct dp_way *elder, *younger; /* among them */
};

struct dp_link {
    struct dp_way *ends[2];
    double heard;
};

/* That a flow is known by a user name fragment. */
struct dp_known {
    struct dp_name *name; /* NULL: no such */
    struct dp_flow *flow;
    struct dp_known *elder, *younger; /* who else is known by it */
};

/* Where a stranger was heard (rule 7). */
struct dp_note {
    union dp_addr source;
    struct dp_relay *home;
};

/* What a flow on shared sockets has besides. */
struct dp_sharing {
    uint64_t max_peers;
    uint64_t pairs;
    struct dp_way *ways;
    struct dp_known *names[DP_NAMES_MOST]; /* the eldest first */
    int names_used;
    int notes_used;
    struct dp_note *notes; /* the eldest first; room for DP_NOTES_MOST, or NULL */
};

/* The user name fragments of a check. */
struct dp_fragments {
    const uint8_t *receiver, *sender;
    size_t receiver_size, sender_size;
};

/* A Binding request by its header: type, cookie, length. */
bool dp_is_check(const uint8_t *data, size_t size);
/* Its first USERNAME; false if there is none, or no colon in it. */
bool dp_fragments(const uint8_t *check, size_t size, struct dp_fragments *fragments);
void dp_flow_learn(struct dp_flow *flow, const uint8_t *name, size_t size);
void dp_flow_unlearn_all(struct dp_flow *flow);
/* Flows of this name that count, the eldest first; returns how many. */
int dp_named(const struct dp_turn *turn, const uint8_t *name, size_t size,
             struct dp_flow *flows[DP_NAMES_MOST]);

/* The shared socket that is bound there. */
struct dp_relay *dp_shared_at(const struct dp_turn *turn, const union dp_addr *address);
/* The next one of the host of `first`, in the order of binding and round; NULL after the last. */
struct dp_relay *dp_shared_next(const struct dp_relay *first, const struct dp_relay *relay);
void dp_shared_leave(struct dp_relay *relay);

struct dp_way *dp_flow_find_way(const struct dp_flow *flow, const union dp_addr *target);
/* The same, made if it can be had. */
struct dp_way *dp_flow_way(struct dp_flow *flow, const union dp_addr *target);
/* Enter a name of another flow; NULL without memory. */
struct dp_way *dp_way_name(struct dp_flow *flow, struct dp_relay *own, struct dp_relay *home);
void dp_way_send(struct dp_flow *flow, struct dp_way *way, const uint8_t *payload, size_t size,
                 bool dont_fragment);
void dp_way_detach(struct dp_channel *channel);
/* Forget it; nothing else is done. */
void dp_way_free(struct dp_way *way);
void dp_flow_note(struct dp_flow *flow, const union dp_addr *source, struct dp_relay *home);
void dp_sharing_drop(struct dp_flow *flow, int family);
void dp_sharing_expire(struct dp_flow *flow);
void dp_sharing_free(struct dp_flow *flow);

void dp_name_want(struct dp_way *name);
/* Per packet: hand over what a flow sends to a name; whether somebody was meant. */
bool dp_name_cross(struct dp_way *name, const uint8_t *payload, size_t size);
/* Mean nobody any more. */
void dp_name_end(struct dp_way *name);

#endif
