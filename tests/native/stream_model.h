/*
 * What a stream must make of its bytes: a parser of its own, fed with one byte after the other.
 */
#ifndef STREAM_MODEL_H
#define STREAM_MODEL_H

#include "kernel.h"
#include "relay.h"
#include "stream.h"
#include "stream_frame.h"
#include "tls_stand_in.h"
#include "traffic.h"

#define STREAMS 4
#define NUMBER 0x4001
#define PEER_HOST 1
#define PEER_PORT 6000
#define LOG ((size_t)1 << 18)

/* Frames of one direction. */
struct frames {
    uint8_t frame[DP_FRAME_MOST + 4];
    size_t size;
    bool faulty;
};

struct client {
    struct dp_stream *stream; /* NULL: none */
    uint64_t handle;
    int fd; /* -1: none */
    bool is_tls;
    struct tls_connection tls;
    struct dp_flow *flow;
    uint64_t flow_number;
    int relay_fd;
    /* From it. */
    struct frames said;
    bool dead;    /* what it says is not looked at any more */
    bool strange; /* may be thrown out at any frame, which takes the whole read with it */
    uint8_t control[LOG];
    size_t control_said;
    size_t control_told;
    /* To it. */
    struct frames heard;
    uint8_t records[TLS_ROOM];
    size_t records_used;
    uint32_t replies; /* sent so far */
    uint32_t replies_heard;
    bool closing;
};

struct stream_model {
    struct dp_plane *plane;
    struct dp_turn *turn;
    struct dp_streams *streams;
    double now;
    struct client clients[STREAMS];
};
extern struct stream_model world;

void world_open(uint8_t how);
void world_close(void);

void client_open(int at, uint8_t how);
void client_allocate(int at);
void client_deallocate(int at);
void client_free(struct client *client);
/* Bytes that the core has been given (and decrypted). */
void client_said(struct client *client, const uint8_t *data, size_t size);
/* A reply from Python. */
void client_answer(struct client *client, size_t more);
/* Take what the plane tells; after it all that was said is known. */
void world_take_events(void);
/* Everything has been written by now. */
void world_check_written(void);

#endif
