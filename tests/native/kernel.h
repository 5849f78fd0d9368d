/*
 * A kernel of our own in place of the real one: sockets, epoll and clock, all in memory.
 *
 * The core's objects are linked to it by renaming what they call (recvmmsg is kernel_recvmmsg, see
 * native.py), so that whole wake-ups run on made-up datagrams at the speed of a fuzzer. It checks
 * what a kernel would refuse, and tells `sent` and `wrote` what leaves.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include "table.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_SOCKETS 64
#define SIM_QUEUE 96
#define SIM_FIRST_FD 5000

/* What the harness hears of; NULL: nothing. */
struct sim_ears {
    /* One datagram left, cut if it left as part of a run. */
    void (*sent)(int fd, const union dp_addr *to, const uint8_t *data, size_t size);
    /* Bytes of a stream left. */
    void (*wrote)(int fd, const uint8_t *data, size_t size);
    /* Bytes of a stream, or one datagram, were read. */
    void (*took)(int fd, const uint8_t *data, size_t size);
};
extern struct sim_ears sim_ears;

/* An ICMP error that came back to a socket. */
struct sim_icmp {
    union dp_addr peer;
    uint32_t error;
    uint32_t info;
    uint8_t origin;
    uint8_t type;
    uint8_t code;
};

/* Forget all sockets and plans; what still is open is a leak of descriptors and aborts. */
void sim_reset(void);
/* How many descriptors are open. */
int sim_open_count(void);
/* Whether the core has this memory from the kernel. */
bool sim_is_mapped(const void *at);
bool sim_is_open(int fd);
int kernel_close(int fd);

/* A new descriptor, bound to `own`. Negative if there are too many. */
int sim_udp(const union dp_addr *own);
int sim_tcp(const union dp_addr *own);

/*
 * What arrives. The bytes must stay until they are read. `segment` below `size`: equal datagrams
 * that came as one; a socket without GRO gets them one by one. False: no room, or too much for UDP.
 */
bool sim_arrive(int fd, const union dp_addr *from, const uint8_t *data, size_t size,
                size_t segment);
/* A part of a stream, which one recv reads at most; size 0: the end. */
bool sim_stream(int fd, const uint8_t *data, size_t size);
/* How much more may come before it is read. */
int sim_room(int fd);
/* A pending error, given by SO_ERROR or the next call; EPOLLERR until then. */
void sim_error(int fd, int error);
bool sim_icmp(int fd, const struct sim_icmp *icmp);
/* Join what arrives, as if the core had asked for it. */
void sim_join(int fd);
/* Whether a stream takes bytes. */
void sim_writable(int fd, bool writable);

/*
 * The next calls that send, in order: 0 as asked, 1 to 15 an error, above that at most so many
 * (less 15) of the messages or bytes. Those that receive: 0 as asked, others an error.
 */
void sim_plan_send(uint8_t result);
void sim_plan_receive(uint8_t result);
/* The next calls that set an option fail. */
void sim_plan_options(int refused);
int sim_errno_of(uint8_t result);
/* From now on all is as asked. */
void sim_plan_nothing(void);

/* What the clock says; it goes on by a microsecond at each look. */
extern uint64_t sim_clock_ns;

_Noreturn void sim_fail(const char *what);
#define REQUIRE(what) ((what) ? (void)0 : sim_fail(#what))

#endif
