/*
 * The way out of a stream: first what has been committed to, then what is gathered for one write,
 * and for a slow reader what waits, replies before media.
 */
#include "stream.h"
#include "stream_frame.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

/* TLS may have answers of its own, to a client that reads none of them. */
#define WIRE_MOST ((size_t)256 * 1024)
/* Room for the frames of one wake-up: most streams have one or two. */
#define SMALL 2048
#define SMALL_MOST 1024
#define LARGE_MOST 64

/* The kernel */

static void want_writable(struct dp_stream *stream, bool wanted) {
    stream->blocked = wanted;
    dp_want_writable(stream->all->plane, &stream->socket, wanted);
}

/* Reading tells of it, so that no flow loses its stream while it is sending. */
static void fail(struct dp_stream *stream) {
    stream->broken = true;
    shutdown(stream->socket.fd, SHUT_RDWR);
}

static size_t give(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    for (;;) {
        ssize_t sent = send(stream->socket.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent >= 0) return (size_t)sent;
        if (errno == EINTR) continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK) fail(stream);
        return 0;
    }
}

static void keep(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    size_t waiting = stream->wire_end - stream->wire_start;
    uint8_t *wire = waiting + size > WIRE_MOST ? NULL : malloc(waiting + size);
    if (!wire) {
        fail(stream);
        return;
    }
    if (waiting) memcpy(wire, stream->wire + stream->wire_start, waiting);
    memcpy(wire + waiting, bytes, size);
    free(stream->wire);
    stream->wire = wire;
    stream->wire_start = 0;
    stream->wire_end = waiting + size;
}

void dp_stream_put(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    if (stream->broken || stream->state == DP_STREAM_GONE) return;
    size_t sent = stream->blocked ? 0 : give(stream, bytes, size);
    if (sent == size || stream->broken) return;
    keep(stream, bytes + sent, size - sent);
    if (!stream->blocked) want_writable(stream, true);
}

static void write_frames(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    if (stream->broken) return;
    if (stream->tls.ssl)
        dp_tls_write(stream, bytes, size);
    else
        dp_stream_put(stream, bytes, size);
}

/* Gathering */

static struct dp_gather *take_gather(struct dp_streams *all, bool is_large) {
    struct dp_spares *spares = is_large ? &all->large : &all->small;
    struct dp_gather *gather = spares->first;
    if (gather) {
        spares->first = gather->next;
        spares->count--;
    } else if (!(gather = malloc(sizeof *gather + (is_large ? DP_STREAM_WRITE : SMALL)))) {
        return NULL;
    }
    gather->is_large = is_large;
    gather->used = 0;
    return gather;
}

static void give_back(struct dp_streams *all, struct dp_gather *gather) {
    struct dp_spares *spares = gather->is_large ? &all->large : &all->small;
    if (spares->count >= (gather->is_large ? LARGE_MOST : SMALL_MOST)) {
        free(gather);
        return;
    }
    gather->next = spares->first;
    spares->first = gather;
    spares->count++;
}

static void begin_gathering(struct dp_stream *stream) {
    struct dp_streams *all = stream->all;
    if (stream->is_gathering) return;
    stream->is_gathering = true;
    stream->next_gathering = all->gathering;
    all->gathering = stream;
}

/* Where the next `size` bytes go, which are not more than one write takes; NULL: no memory. */
static uint8_t *gather(struct dp_stream *stream, size_t size) {
    struct dp_gather *old = stream->gather;
    size_t used = old ? old->used : 0;
    if (!old || (!old->is_large && used + size > SMALL)) {
        struct dp_gather *new = take_gather(stream->all, used + size > SMALL);
        if (!new) return NULL;
        if (used) memcpy(new->data, old->data, used);
        if (old) give_back(stream->all, old);
        stream->gather = new;
        begin_gathering(stream);
    }
    stream->gather->used = used + size;
    return stream->gather->data + used;
}

static void end_gathering(struct dp_stream *stream) {
    if (stream->gather) give_back(stream->all, stream->gather);
    stream->gather = NULL;
}

void dp_stream_flush(struct dp_stream *stream) {
    if (stream->gather && stream->gather->used)
        write_frames(stream, stream->gather->data, stream->gather->used);
    end_gathering(stream);
}

void dp_streams_flush(struct dp_plane *plane) {
    struct dp_streams *streams = plane->streams;
    while (streams && streams->gathering) {
        struct dp_stream *stream = streams->gathering;
        streams->gathering = stream->next_gathering;
        stream->next_gathering = NULL;
        stream->is_gathering = false;
        dp_stream_flush(stream);
    }
}

static void stop_gathering(struct dp_stream *stream) {
    end_gathering(stream);
    if (!stream->is_gathering) return;
    struct dp_stream **at = &stream->all->gathering;
    while (*at != stream) at = &(*at)->next_gathering;
    *at = stream->next_gathering;
    stream->next_gathering = NULL;
    stream->is_gathering = false;
}

static void copy_parts(uint8_t *to, const struct iovec *parts, int count) {
    for (int at = 0; at < count; at++) {
        memcpy(to, parts[at].iov_base, parts[at].iov_len);
        to += parts[at].iov_len;
    }
}

/* Waiting */

static void count_dropped(struct dp_stream *stream, size_t frames) {
    stream->media_dropped += frames;
    stream->all->media_dropped += frames;
}

static void drop_old_media(struct dp_stream *stream) {
    const struct dp_streams *all = stream->all;
    double oldest = all->plane->now - all->media_age;
    double since;
    size_t size;
    while (dp_backlog_first(&stream->media, &since, &size) &&
           (since < oldest || stream->media.octets > all->media_bytes)) {
        dp_backlog_drop(&stream->media);
        count_dropped(stream, 1);
    }
}

static void write_large(struct dp_stream *stream, const struct iovec *parts, int count,
                        size_t size) {
    uint8_t *whole = malloc(size);
    if (!whole) {
        fail(stream);
        return;
    }
    copy_parts(whole, parts, count);
    write_frames(stream, whole, size);
    free(whole);
}

/* A frame to go out; `waits` is where it waits if the kernel takes no more. */
static void add(struct dp_stream *stream, struct dp_backlog *waits, const struct iovec *parts,
                int count, size_t size) {
    struct dp_gather *before = stream->gather;
    if (before && before->used + size > DP_STREAM_WRITE) {
        write_frames(stream, before->data, before->used);
        before->used = 0;
    }
    if (stream->blocked) {
        if (!dp_backlog_add(waits, stream->all->plane->now, parts, count, size)) fail(stream);
        if (waits == &stream->media) drop_old_media(stream);
    } else if (size > DP_STREAM_WRITE) {
        write_large(stream, parts, count, size);
    } else {
        uint8_t *to = gather(stream, size);
        if (to)
            copy_parts(to, parts, count);
        else
            fail(stream);
    }
}

static bool takes(const struct dp_stream *stream, size_t size) {
    return !stream->broken && stream->state < DP_STREAM_CLOSING && size <= DP_FRAME_MOST;
}

void dp_stream_to_client(struct dp_plane *plane, void *to, const struct iovec *parts, int count,
                         size_t size) {
    (void)plane;
    struct dp_stream *stream = to;
    if (!count)
        stream->flow = NULL;
    else if (takes(stream, size)) add(stream, &stream->media, parts, count, size);
}

size_t dp_stream_send(struct dp_stream *stream, const uint8_t *frame, size_t size, bool is_media) {
    struct iovec part = {(void *)(uintptr_t)frame, size};
    if (takes(stream, size)) {
        add(stream, is_media ? &stream->media : &stream->control, &part, 1, size);
        dp_stream_flush(stream);
    }
    return stream->control.octets;
}

void dp_stream_drop_queues(struct dp_stream *stream) {
    stop_gathering(stream);
    count_dropped(stream, stream->media.frames);
    dp_backlog_free(&stream->media);
    dp_backlog_free(&stream->control);
}

/* Frames that waited, about one write of them. */
static size_t take_waiting(struct dp_backlog *backlog, uint8_t *to, size_t taken) {
    double since;
    size_t size;
    const uint8_t *frame;
    while (taken < DP_STREAM_WRITE && (frame = dp_backlog_first(backlog, &since, &size))) {
        memcpy(to + taken, frame, size);
        taken += size;
        dp_backlog_drop(backlog);
    }
    return taken;
}

static void write_waiting(struct dp_stream *stream) {
    uint8_t *bytes = stream->all->waiting;
    drop_old_media(stream);
    while (!stream->blocked && !stream->broken) {
        size_t size = take_waiting(&stream->control, bytes, 0);
        size = take_waiting(&stream->media, bytes, size);
        if (!size) return;
        write_frames(stream, bytes, size);
    }
}

void dp_stream_resume(struct dp_stream *stream) {
    if (!stream->blocked || stream->broken) return;
    stream->wire_start +=
        give(stream, stream->wire + stream->wire_start, stream->wire_end - stream->wire_start);
    if (stream->wire_start < stream->wire_end || stream->broken) return;
    free(stream->wire);
    stream->wire = NULL;
    stream->wire_start = stream->wire_end = 0;
    want_writable(stream, false);
    if (stream->state == DP_STREAM_CLOSING)
        dp_stream_end(stream, DP_END_CLOSED);
    else
        write_waiting(stream);
}
