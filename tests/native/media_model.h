/*
 * Ends of media and who may hear what of whom.
 */
#ifndef MEDIA_MODEL_H
#define MEDIA_MODEL_H

#include "kernel.h"
#include "media.h"
#include "srtp_stand_in.h"
#include "traffic.h"

#define PLAINS 4
#define WEBS 4
#define TRANSPORTS 2
#define HOSTS 3
#define FIRST_PORT 6000
#define ENDS (PLAINS + WEBS)
/* Numbers of payloads: this many from FIRST_TYPE on, of which one is of telephone-events. */
#define FIRST_TYPE 96
#define TYPES 4
#define EVENT_TYPE 99

struct model_end {
    struct dp_end *end; /* NULL: closed */
    struct dp_plain *plain;
    int fds[2];
    int transport; /* of a web end */
    uint32_t ssrc;
    uint8_t remote; /* host that the SDP named; 0: none */
    struct srtp_session sends;
    struct srtp_session receives;
    struct dp_sources sources;
    int peer; /* -1: none */
    uint64_t heard;
};

struct model_transport {
    struct dp_transport *transport; /* NULL: closed */
    struct dp_web_socket *socket;
    int fd;
    uint64_t handle;
    struct srtp_session sends;
    struct srtp_session receives;
    struct dp_sources sources;
    bool has_way;
    union dp_addr target;
};

struct media_model {
    struct dp_plane *plane;
    double now;
    struct model_end ends[ENDS];
    struct model_transport transports[TRANSPORTS];
    uint32_t opened;
    uint64_t taken;     /* datagrams that the core has read */
    uint64_t forwarded; /* what became of them: of ends that are closed */
    uint64_t dropped;
    uint64_t told;
    uint64_t doubtful; /* packets that may be malformed */
    uint64_t malformed;
    bool own; /* what is sent is nobody else's */
};
extern struct media_model media;

void media_open(void);
void media_close(void);
void media_open_plain(int at);
void media_open_transport(int at);
void media_open_on(int at, int transport);
void media_close_end(int at);
void media_close_transport(int at);
void media_join(int one, int other);
void media_set_keys(int at, uint8_t key);
/* Which payload types are whose. */
void media_sort(int transport);
/* After a wake-up. */
void media_check(void);

struct srtp_session *media_receives(int at);
/* Where its packets arrive. */
int media_fd(int at);
union dp_addr media_addr(uint8_t host, uint8_t port);

#endif
