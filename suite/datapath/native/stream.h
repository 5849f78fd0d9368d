/*
 * TURN clients over TCP and TLS: frames out of the stream to the relay, frames of the relay into it.
 *
 * A stream owns its descriptor. ChannelData and Send indications go straight to the client's flow;
 * all other STUN goes to Python, that of one read in one event. What the relay sends is gathered
 * and leaves in one write per wake-up. A reader that is slower than its media loses the oldest
 * media, never a reply and never half a frame. turn/net/stream.py is the same in Python.
 *
 * Memory: an idle stream has its struct only. A stream is freed by whoever opened it, never within
 * a wake-up.
 */
#ifndef DP_STREAM_H
#define DP_STREAM_H

#include "plane.h"
#include "relay.h"
#include "stream_tls.h"

/* Bytes of one read, and of one write of gathered frames: a full TLS record. */
#define DP_STREAM_READ 16384
#define DP_STREAM_WRITE 16384

/* Why a stream has ended or has to be closed; `more` of DP_STREAM_END. */
enum dp_stream_end {
    DP_END_DONE = 0,    /* the client has closed it */
    DP_END_LOST = 1,    /* an error */
    DP_END_FRAMING = 2, /* a frame that is neither STUN nor ChannelData; to be closed */
    DP_END_STRANGE = 3, /* too many frames without an allocation; to be closed */
    DP_END_LATE = 4,    /* a frame that was not finished in time; to be closed */
    DP_END_CLOSED = 5,  /* what was written before dp_stream_close is sent */
};

enum dp_stream_state {
    DP_STREAM_LIVE,
    DP_STREAM_MUTE,    /* what comes is thrown away until Python closes it */
    DP_STREAM_CLOSING, /* the same, and gone when all is sent */
    DP_STREAM_GONE,    /* without a descriptor */
};

/* Frames that wait for a slow reader, oldest first. */
struct dp_backlog {
    uint8_t *memory;
    size_t room;
    size_t start;
    size_t end;
    size_t octets; /* of the frames alone */
    size_t frames;
};

/* Frames of one wake-up that leave together. */
struct dp_gather {
    struct dp_gather *next;
    bool is_large;
    size_t used;
    uint8_t data[];
};

/* Those that nobody uses. */
struct dp_spares {
    struct dp_gather *first;
    int count;
};

struct dp_stream {
    struct dp_socket socket; /* first, see plane.h */
    struct dp_streams *all;
    struct dp_stream *previous, *next; /* all of them */
    uint64_t handle;
    enum dp_stream_state state;
    bool is_stranger; /* has no allocation */
    bool blocked;     /* the kernel takes no more */
    bool broken;      /* writing has failed: reading tells */
    bool is_gathering;
    uint32_t strange; /* frames since it has been a stranger */
    int taken;        /* frames of the read under way */
    int told;         /* those of them that Python gets */
    size_t read_most; /* bytes of the next read */
    /* The frame that has begun. */
    uint8_t *begun;
    size_t begun_size;
    size_t begun_room;
    size_t wanted; /* its whole length; 0: look at its head again */
    double begun_at;
    struct dp_stream *older, *newer; /* by begun_at */
    bool is_unfinished;
    /* Where media goes to. */
    struct dp_turn *turn;
    struct dp_flow *flow;
    /* On the way out, in this order. */
    uint8_t *wire; /* bytes that have been committed to */
    size_t wire_start;
    size_t wire_end;
    struct dp_gather *gather;
    struct dp_stream *next_gathering;
    struct dp_backlog control;
    struct dp_backlog media;
    uint64_t media_dropped;
    struct dp_tls tls;
};

/* What streams of a plane have in common. */
struct dp_streams {
    struct dp_plane *plane;
    struct dp_stream *first;
    struct dp_stream *oldest, *newest; /* of those with an unfinished frame */
    struct dp_stream *gathering;
    struct dp_spares small; /* for a few frames, so that many streams fit into the cache */
    struct dp_spares large; /* of DP_STREAM_WRITE bytes */
    double media_age;
    size_t media_bytes;
    uint32_t strange_most;
    bool media_to_python; /* of streams without a flow, which is dropped otherwise */
    uint64_t media_dropped;
    uint64_t ignored; /* media without a flow */
    /* Of one read. */
    uint8_t *stage; /* messages for Python */
    size_t staged;
    uint8_t *room; /* what is read stays here until dp_flush */
    size_t room_used;
    uint8_t *scratch; /* records of TLS, or what is thrown away */
    uint8_t *waiting; /* frames that have waited, for one write */
};

/* The streams of a plane; NULL without memory. */
struct dp_streams *dp_streams_open(struct dp_plane *plane);
/* All streams must be freed before. */
void dp_streams_close(struct dp_streams *streams);
/* Write what has been gathered; the plane calls it at the end of a wake-up. */
void dp_streams_flush(struct dp_plane *plane);
/* Tell of frames that have not been whole for `timeout` seconds. */
void dp_streams_expire(struct dp_streams *streams, double now, double timeout);

/*
 * Serve a connected non-blocking descriptor, which belongs to the stream from now on. `unsent` is
 * to leave before all else. NULL with errno; then the descriptor is still the caller's.
 */
struct dp_stream *dp_stream_open(struct dp_streams *streams, int fd, const struct dp_tls *tls,
                                 const uint8_t *unsent, size_t size);
void dp_stream_free(struct dp_stream *stream);
/* Take bytes that were read (and decrypted) before. */
void dp_stream_feed(struct dp_stream *stream, const uint8_t *data, size_t size);
void dp_stream_set_stranger(struct dp_stream *stream, bool is_stranger);
/* The client has a flow now, which forwards its media until it is over. */
void dp_stream_set_flow(struct dp_stream *stream, struct dp_turn *turn, struct dp_flow *flow);
/* A frame of the flow, see dp_to_client in relay.h. */
void dp_stream_to_client(struct dp_plane *plane, void *stream, const struct iovec *parts,
                         int count, size_t size);
/* Send from Python at once. Returns the bytes of messages (not media) that wait. */
size_t dp_stream_send(struct dp_stream *stream, const uint8_t *frame, size_t size, bool is_media);
/*
 * End it after what has been written. True: it is gone already; false: DP_STREAM_END follows.
 */
bool dp_stream_close(struct dp_stream *stream);
/* End it now, with a reset. */
void dp_stream_abort(struct dp_stream *stream);

/* Between stream.c and its neighbours. */

/* It has ended, or has to be closed, see enum dp_stream_end. */
void dp_stream_end(struct dp_stream *stream, enum dp_stream_end why);
/* Bytes for one read, with room for the frame that has begun before them. */
uint8_t *dp_stream_room(struct dp_stream *stream);
/* `size` bytes have come to where dp_stream_room has said. */
void dp_stream_arrived(struct dp_stream *stream, uint8_t *room, size_t size);
/* Send bytes, whatever they are; what the kernel does not take blocks the stream. */
void dp_stream_put(struct dp_stream *stream, const uint8_t *bytes, size_t size);
/* The kernel takes more. */
void dp_stream_resume(struct dp_stream *stream);
/* Forget what waits to go out, but for what has been committed to. */
void dp_stream_drop_queues(struct dp_stream *stream);
/* Write what was gathered for this stream. */
void dp_stream_flush(struct dp_stream *stream);

/* Backlogs */

bool dp_backlog_add(struct dp_backlog *backlog, double since, const struct iovec *parts, int count,
                    size_t size);
/* The oldest frame, or NULL. */
const uint8_t *dp_backlog_first(const struct dp_backlog *backlog, double *since, size_t *size);
void dp_backlog_drop(struct dp_backlog *backlog);
void dp_backlog_free(struct dp_backlog *backlog);

#endif
