#include "stream.h"

#include "events.h"
#include "stream_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* What one read can give: an unfinished frame, and with TLS the rest of an unfinished record. */
#define STAGE_SIZE (DP_FRAME_MOST + 3 * DP_STREAM_READ)
/* Python has as much to do for a message as C for so many packets. */
#define MESSAGE_COSTS 16
/* A stream with more messages in one read gets smaller ones. */
#define MESSAGES_OF_READ 32
#define READ_LEAST 1024
#define ROOM_SIZE ((size_t)512 * 1024)
#define SCRATCH_SIZE ((size_t)64 * 1024)
/* A read tells of messages, of those that the stage had no room for, and of the end. */
#define EVENTS_OF_READ 3

/* All streams of a plane */

struct dp_streams *dp_streams_open(struct dp_plane *plane) {
    struct dp_streams *streams = calloc(1, sizeof *streams);
    if (!streams) return NULL;
    streams->plane = plane;
    streams->stage = malloc(STAGE_SIZE);
    streams->room = malloc(ROOM_SIZE);
    streams->scratch = malloc(SCRATCH_SIZE);
    streams->waiting = malloc(DP_STREAM_WRITE + DP_FRAME_MOST);
    if (!streams->stage || !streams->room || !streams->scratch || !streams->waiting) {
        dp_streams_close(streams);
        return NULL;
    }
    plane->streams = streams;
    plane->before_sleep = dp_streams_flush;
    return streams;
}

static void free_spares(struct dp_spares *spares) {
    while (spares->first) {
        struct dp_gather *next = spares->first->next;
        free(spares->first);
        spares->first = next;
    }
}

void dp_streams_close(struct dp_streams *streams) {
    if (streams->plane->streams == streams) {
        streams->plane->streams = NULL;
        streams->plane->before_sleep = NULL;
    }
    free_spares(&streams->small);
    free_spares(&streams->large);
    free(streams->stage);
    free(streams->room);
    free(streams->scratch);
    free(streams->waiting);
    free(streams);
}

/* Frames that are not whole */

static void finish(struct dp_stream *stream) {
    if (!stream->is_unfinished) return;
    struct dp_streams *all = stream->all;
    if (stream->older)
        stream->older->newer = stream->newer;
    else
        all->oldest = stream->newer;
    if (stream->newer)
        stream->newer->older = stream->older;
    else
        all->newest = stream->older;
    stream->older = stream->newer = NULL;
    stream->is_unfinished = false;
}

static void begin(struct dp_stream *stream) {
    struct dp_streams *all = stream->all;
    finish(stream);
    stream->begun_at = all->plane->now;
    stream->older = all->newest;
    if (all->newest)
        all->newest->newer = stream;
    else
        all->oldest = stream;
    all->newest = stream;
    stream->is_unfinished = true;
}

static void forget_begun(struct dp_stream *stream) {
    finish(stream);
    free(stream->begun);
    stream->begun = NULL;
    stream->begun_size = stream->begun_room = stream->wanted = 0;
}

void dp_streams_expire(struct dp_streams *streams, double now, double timeout) {
    while (streams->oldest && now - streams->oldest->begun_at >= timeout &&
           dp_can_tell(streams->plane, EVENTS_OF_READ))
        dp_stream_end(streams->oldest, DP_END_LATE);
}

static bool make_room(struct dp_stream *stream, size_t size) {
    if (size <= stream->begun_room) return true;
    size_t room = stream->begun_room * 2;
    if (room < size) room = size;
    /* Not more than the frame needs, however long it says it is. */
    if (stream->wanted && room > stream->wanted) room = stream->wanted;
    uint8_t *memory = realloc(stream->begun, room);
    if (!memory) return false;
    stream->begun = memory;
    stream->begun_room = room;
    return true;
}

static void keep(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    if (!make_room(stream, stream->begun_size + size)) {
        dp_stream_end(stream, DP_END_LOST);
        return;
    }
    memcpy(stream->begun + stream->begun_size, bytes, size);
    stream->begun_size += size;
}

/* Frames that are whole */

static void tell_staged(struct dp_stream *stream) {
    struct dp_streams *all = stream->all;
    size_t size = all->staged;
    all->staged = 0;
    if (size && !dp_tell(all->plane, DP_STREAM, stream->handle, 0, NULL, all->stage, size))
        dp_stream_end(stream, DP_END_LOST);
}

static void stage(struct dp_stream *stream, const uint8_t *frame, size_t size) {
    struct dp_streams *all = stream->all;
    if (all->staged + size > STAGE_SIZE) tell_staged(stream);
    memcpy(all->stage + all->staged, frame, size);
    all->staged += size;
    stream->told++;
}

static void take_frame(struct dp_stream *stream, const uint8_t *frame, size_t padded) {
    struct dp_streams *all = stream->all;
    stream->taken++;
    if (!dp_frame_is_media(frame) || (all->media_to_python && !stream->flow))
        stage(stream, frame, padded);
    else if (stream->flow)
        dp_flow_from_client(stream->turn, stream->flow, frame, dp_frame_size(frame));
    else
        all->ignored++;
}

static bool is_too_strange(struct dp_stream *stream) {
    if (!stream->is_stranger || stream->strange++ < stream->all->strange_most) return false;
    /* Nothing of this read counts. */
    stream->all->staged = 0;
    dp_stream_end(stream, DP_END_STRANGE);
    return true;
}

/* Take every whole frame. Returns where the one begins that is not whole. */
static size_t cut(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    size_t at = 0;
    while (at < size && stream->state == DP_STREAM_LIVE) {
        if (dp_frame_fault(bytes + at, size - at)) {
            dp_stream_end(stream, DP_END_FRAMING);
            break;
        }
        size_t padded = dp_frame_padded(bytes + at, size - at);
        if (!padded || padded > size - at || is_too_strange(stream)) break;
        take_frame(stream, bytes + at, padded);
        at += padded;
    }
    return at;
}

uint8_t *dp_stream_room(struct dp_stream *stream) {
    struct dp_streams *all = stream->all;
    if (!all->plane->pending_used) all->room_used = 0;
    if (all->room_used + stream->begun_size + DP_STREAM_READ > ROOM_SIZE) {
        dp_flush(all->plane);
        all->room_used = 0;
    }
    return all->room + all->room_used + stream->begun_size;
}

void dp_stream_arrived(struct dp_stream *stream, uint8_t *room, size_t size) {
    size_t before = stream->begun_size;
    if (before + size < stream->wanted) {
        keep(stream, room, size);
        return;
    }
    room -= before;
    size += before;
    if (before) memcpy(room, stream->begun, before);
    stream->begun_size = 0;
    stream->all->room_used += size;
    int taken = stream->taken;
    size_t at = cut(stream, room, size);
    if (stream->state != DP_STREAM_LIVE) return;
    if (at == size) {
        forget_begun(stream);
        return;
    }
    /* A head that is not whole yet is looked at again with every byte. */
    stream->wanted = size - at < DP_FRAME_HEAD ? 0 : dp_frame_padded(room + at, size - at);
    keep(stream, room + at, size - at);
    if (stream->state == DP_STREAM_LIVE && (!before || stream->taken != taken)) begin(stream);
}

/* Reading */

static void read_plain(struct dp_stream *stream) {
    uint8_t *room = dp_stream_room(stream);
    ssize_t size = recv(stream->socket.fd, room, stream->read_most, MSG_DONTWAIT);
    if (size > 0)
        dp_stream_arrived(stream, room, (size_t)size);
    else if (size == 0)
        dp_stream_end(stream, DP_END_DONE);
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        dp_stream_end(stream, DP_END_LOST);
}

static void discard(struct dp_stream *stream) {
    ssize_t size = recv(stream->socket.fd, stream->all->scratch, DP_STREAM_READ, MSG_DONTWAIT);
    if (size == 0)
        dp_stream_end(stream, DP_END_DONE);
    else if (size < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        dp_stream_end(stream, DP_END_LOST);
}

/* One client must not make Python busy for longer than the others can wait. */
static void choose_next_read(struct dp_stream *stream) {
    if (stream->told > MESSAGES_OF_READ && stream->read_most > READ_LEAST)
        stream->read_most /= 2;
    else if (stream->told <= MESSAGES_OF_READ / 2 && stream->read_most < DP_STREAM_READ)
        stream->read_most *= 2;
}

static int readable(struct dp_plane *plane, struct dp_socket *socket, int share) {
    struct dp_stream *stream = (struct dp_stream *)socket;
    (void)share; /* one read is a share */
    if (!dp_can_tell(plane, EVENTS_OF_READ)) return 0;
    stream->taken = stream->told = 0;
    if (stream->broken)
        dp_stream_end(stream, DP_END_LOST);
    else if (stream->state != DP_STREAM_LIVE)
        discard(stream);
    else if (stream->tls.ssl)
        dp_tls_read(stream);
    else
        read_plain(stream);
    tell_staged(stream);
    choose_next_read(stream);
    return stream->taken + stream->told * MESSAGE_COSTS;
}

void dp_stream_feed(struct dp_stream *stream, const uint8_t *data, size_t size) {
    stream->taken = 0;
    while (size && stream->state == DP_STREAM_LIVE) {
        size_t part = size < DP_STREAM_READ ? size : DP_STREAM_READ;
        uint8_t *room = dp_stream_room(stream);
        memcpy(room, data, part);
        dp_stream_arrived(stream, room, part);
        data += part;
        size -= part;
    }
    tell_staged(stream);
    dp_flush(stream->all->plane);
    dp_streams_flush(stream->all->plane);
}

/* Life */

static void writable(struct dp_plane *plane, struct dp_socket *socket) {
    (void)plane;
    dp_stream_resume((struct dp_stream *)socket);
}

static const struct dp_kind kind = {readable, writable, NULL};

struct dp_stream *dp_stream_open(struct dp_streams *streams, int fd, const struct dp_tls *tls,
                                 const uint8_t *unsent, size_t size) {
    struct dp_stream *stream = calloc(1, sizeof *stream);
    if (!stream) return NULL;
    if (dp_watch(streams->plane, &stream->socket, fd, &kind)) {
        free(stream);
        return NULL;
    }
    stream->all = streams;
    stream->handle = dp_number(streams->plane);
    stream->is_stranger = true;
    stream->read_most = DP_STREAM_READ;
    if (tls) stream->tls = *tls;
    stream->next = streams->first;
    if (streams->first) streams->first->previous = stream;
    streams->first = stream;
    if (size) dp_stream_put(stream, unsent, size);
    return stream;
}

static void let_go(struct dp_stream *stream) {
    if (stream->state == DP_STREAM_GONE) return;
    dp_forget(stream->all->plane, &stream->socket);
    stream->state = DP_STREAM_GONE;
    dp_stream_drop_queues(stream);
    forget_begun(stream);
    free(stream->wire);
    stream->wire = NULL;
    stream->wire_start = stream->wire_end = 0;
}

void dp_stream_free(struct dp_stream *stream) {
    let_go(stream);
    if (stream->flow) dp_flow_set_stream(stream->flow, NULL, NULL);
    if (stream->previous)
        stream->previous->next = stream->next;
    else
        stream->all->first = stream->next;
    if (stream->next) stream->next->previous = stream->previous;
    free(stream);
}

void dp_stream_end(struct dp_stream *stream, enum dp_stream_end why) {
    if (stream->state == DP_STREAM_GONE) return;
    bool is_open = why == DP_END_FRAMING || why == DP_END_STRANGE || why == DP_END_LATE;
    tell_staged(stream);
    if (is_open) {
        if (stream->state != DP_STREAM_LIVE) return;
        stream->state = DP_STREAM_MUTE;
        forget_begun(stream);
    } else {
        let_go(stream);
    }
    dp_tell(stream->all->plane, DP_STREAM_END, stream->handle, why, NULL, NULL, 0);
}

void dp_stream_set_flow(struct dp_stream *stream, struct dp_turn *turn, struct dp_flow *flow) {
    if (stream->flow) dp_flow_set_stream(stream->flow, NULL, NULL);
    stream->turn = turn;
    stream->flow = flow;
    dp_flow_set_stream(flow, stream, dp_stream_to_client);
}

void dp_stream_set_stranger(struct dp_stream *stream, bool is_stranger) {
    stream->is_stranger = is_stranger;
    stream->strange = 0;
}

bool dp_stream_close(struct dp_stream *stream) {
    if (stream->state == DP_STREAM_GONE) return true;
    dp_stream_flush(stream);
    dp_stream_drop_queues(stream);
    forget_begun(stream);
    if (stream->tls.ssl) dp_tls_shutdown(stream);
    stream->state = DP_STREAM_CLOSING;
    if (stream->blocked && !stream->broken) return false;
    let_go(stream);
    return true;
}

void dp_stream_abort(struct dp_stream *stream) {
    if (stream->state == DP_STREAM_GONE) return;
    struct linger linger = {.l_onoff = 1, .l_linger = 0};
    setsockopt(stream->socket.fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    let_go(stream);
}
