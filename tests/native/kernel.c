/* The simulated kernel: descriptors, epoll, options and clock. */
#include "kernel_inside.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#define EPOLL_FD (SIM_FIRST_FD - 1)
#define PLAN 64
#define LARGE_BLOCK ((size_t)60 << 10)
#define LARGE_BLOCKS 16
#define LARGEST 65507
#define LARGEST_MAP ((size_t)64 << 20)

struct plan {
    uint8_t results[PLAN];
    unsigned first;
    unsigned count;
};

struct sim_ears sim_ears;
uint64_t sim_clock_ns;
static struct sim_socket sockets[SIM_SOCKETS];
static struct plan sending;
static struct plan receiving;
static uint8_t *mapped;
static int refused_options;
static int turn; /* of epoll_wait, which begins where it ended */

_Noreturn void sim_fail(const char *what) {
    fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

struct sim_socket *sim_of(int fd) {
    if (fd < SIM_FIRST_FD || fd >= SIM_FIRST_FD + SIM_SOCKETS || !sockets[fd - SIM_FIRST_FD].open) {
        errno = EBADF;
        return NULL;
    }
    return &sockets[fd - SIM_FIRST_FD];
}

int sim_fd(const struct sim_socket *socket) {
    return SIM_FIRST_FD + (int)(socket - sockets);
}

bool sim_is_open(int fd) {
    return sim_of(fd) != NULL;
}

int sim_open_count(void) {
    int count = 0;
    for (int at = 0; at < SIM_SOCKETS; at++) count += sockets[at].open;
    return count;
}

void sim_reset(void) {
    REQUIRE(!sim_open_count());
    sim_plan_nothing();
    turn = 0;
    sim_clock_ns = (uint64_t)1 << 40;
}

static int open_socket(const union dp_addr *own, bool stream) {
    for (int at = 0; at < SIM_SOCKETS; at++) {
        struct sim_socket *found = &sockets[at];
        if (found->open) continue;
        found->open = found->writable = true;
        found->stream = stream;
        found->gro = found->ended = found->cut = false;
        found->error = found->first = found->count = found->icmps_used = 0;
        found->watched = 0;
        found->own = *own;
        return SIM_FIRST_FD + at;
    }
    return -1;
}

int sim_udp(const union dp_addr *own) {
    return open_socket(own, false);
}

int sim_tcp(const union dp_addr *own) {
    return open_socket(own, true);
}

int kernel_close(int fd) {
    struct sim_socket *socket = sim_of(fd);
    if (fd == EPOLL_FD) return 0;
    REQUIRE(socket); /* a descriptor that is not ours to close */
    socket->open = false;
    socket->watched = 0;
    return 0;
}

int kernel_shutdown(int fd, int how) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket) return -1;
    REQUIRE(socket->stream && how == SHUT_RDWR);
    socket->cut = socket->ended = true;
    socket->count = 0;
    return 0;
}

/* Plans */

static const int errors[16] = {
    0,       EAGAIN, ECONNREFUSED, EMSGSIZE, EIO,          EHOSTUNREACH, ENETUNREACH, EPERM,
    ENOBUFS, EINVAL, EHOSTDOWN,    ENOMEM,   EAFNOSUPPORT, EOPNOTSUPP,   EACCES,      ECONNRESET,
};

int sim_errno_of(uint8_t result) {
    return errors[result & 15];
}

static void add(struct plan *plan, uint8_t result) {
    if (plan->count < PLAN) plan->results[(plan->first + plan->count++) % PLAN] = result;
}

static uint8_t next(struct plan *plan) {
    if (!plan->count) return 0;
    plan->count--;
    return plan->results[plan->first++ % PLAN];
}

void sim_plan_send(uint8_t result) {
    add(&sending, result);
}

void sim_plan_receive(uint8_t result) {
    add(&receiving, result);
}

void sim_plan_options(int refused) {
    refused_options = refused;
}

void sim_plan_nothing(void) {
    sending.count = receiving.count = 0;
    refused_options = 0;
}

uint8_t sim_next_send(void) {
    return next(&sending);
}

uint8_t sim_next_receive(void) {
    return next(&receiving);
}

/* What arrives */

bool sim_arrive(int fd, const union dp_addr *from, const uint8_t *data, size_t size,
                size_t segment) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket || socket->count == SIM_QUEUE) return false;
    if (!socket->stream && size > LARGEST) return false;
    struct sim_arrival *arrival = &socket->queue[(socket->first + socket->count++) % SIM_QUEUE];
    *arrival = (struct sim_arrival){*from, data, size, segment ? segment : size};
    return true;
}

bool sim_stream(int fd, const uint8_t *data, size_t size) {
    static const union dp_addr nowhere;
    return sim_arrive(fd, &nowhere, data, size, size);
}

int sim_room(int fd) {
    const struct sim_socket *socket = sim_of(fd);
    return socket ? SIM_QUEUE - socket->count : 0;
}

void sim_pop(struct sim_socket *socket) {
    socket->first = (socket->first + 1) % SIM_QUEUE;
    socket->count--;
}

void sim_error(int fd, int error) {
    struct sim_socket *socket = sim_of(fd);
    if (socket) socket->error = error;
}

bool sim_icmp(int fd, const struct sim_icmp *icmp) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket || socket->icmps_used == SIM_ICMPS) return false;
    socket->icmps[socket->icmps_used++] = *icmp;
    return true;
}

void sim_join(int fd) {
    struct sim_socket *socket = sim_of(fd);
    if (socket) socket->gro = true;
}

void sim_writable(int fd, bool writable) {
    struct sim_socket *socket = sim_of(fd);
    if (socket) socket->writable = writable;
}

/* epoll */

int kernel_epoll_create1(int flags) {
    (void)flags;
    return EPOLL_FD;
}

int kernel_epoll_ctl(int epoll, int op, int fd, struct epoll_event *event) {
    struct sim_socket *socket = sim_of(fd);
    REQUIRE(epoll == EPOLL_FD);
    if (!socket) return -1;
    if (op == EPOLL_CTL_DEL) {
        socket->watched = 0;
        return 0;
    }
    if ((op == EPOLL_CTL_ADD) != !socket->watched) {
        errno = socket->watched ? EEXIST : ENOENT;
        return -1;
    }
    socket->watched = event->events | EPOLLERR | EPOLLHUP;
    socket->about = event->data;
    return 0;
}

static uint32_t state_of(const struct sim_socket *socket) {
    uint32_t state = 0;
    if (socket->count || socket->ended) state |= EPOLLIN;
    if (socket->error || socket->icmps_used) state |= EPOLLERR;
    if (socket->stream && (socket->error || socket->cut)) state |= EPOLLHUP | EPOLLIN;
    if (socket->writable || socket->cut) state |= EPOLLOUT;
    return state & socket->watched;
}

int kernel_epoll_wait(int epoll, struct epoll_event *ready, int room, int timeout) {
    REQUIRE(epoll == EPOLL_FD && room > 0 && !timeout);
    int count = 0;
    int begin = turn;
    for (int step = 0; step < SIM_SOCKETS && count < room; step++) {
        int at = (begin + step) % SIM_SOCKETS;
        if (!sockets[at].open || !sockets[at].watched) continue;
        uint32_t state = state_of(&sockets[at]);
        if (!state) continue;
        ready[count].events = state;
        ready[count++].data = sockets[at].about;
        turn = at + 1;
    }
    return count;
}

/* Options, names, memory, time */

int kernel_getsockname(int fd, struct sockaddr *name, socklen_t *size) {
    const struct sim_socket *socket = sim_of(fd);
    if (!socket) return -1;
    socklen_t own =
        socket->own.sa.sa_family == AF_INET6 ? sizeof socket->own.in6 : sizeof socket->own.in;
    memcpy(name, &socket->own, own < *size ? own : *size);
    *size = own;
    return 0;
}

int kernel_setsockopt(int fd, int level, int option, const void *value, socklen_t size) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket) return -1;
    int number = 0;
    if (size == sizeof number) memcpy(&number, value, size);
    if (refused_options > 0) {
        refused_options--;
        errno = ENOPROTOOPT;
        return -1;
    }
    if (level == SOL_UDP && option == 104) socket->gro = number != 0;
    return 0;
}

int kernel_getsockopt(int fd, int level, int option, void *value, socklen_t *size) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket) return -1;
    REQUIRE(level == SOL_SOCKET && option == SO_ERROR && *size == sizeof(int));
    memcpy(value, &socket->error, sizeof(int));
    socket->error = 0;
    return 0;
}

/* One mapping, which is not given back: clearing it for each input would take most of the time. */
void *kernel_mmap(void *where, size_t size, int rights, int flags, int fd, off_t offset) {
    (void)where, (void)rights, (void)flags, (void)offset;
    REQUIRE(fd == -1 && size <= LARGEST_MAP);
    if (!mapped) mapped = aligned_alloc(4096, LARGEST_MAP);
    return mapped ? mapped : MAP_FAILED;
}

bool sim_is_mapped(const void *at) {
    return mapped && (uintptr_t)at - (uintptr_t)mapped < LARGEST_MAP;
}

/* Large blocks are used again, which is most of the time of an input, too. */
static struct {
    void *block;
    size_t size;
    bool used;
} large[LARGE_BLOCKS];

void *kernel_malloc(size_t size) {
    if (size < LARGE_BLOCK) return malloc(size);
    for (int at = 0; at < LARGE_BLOCKS; at++) {
        if (large[at].used || (large[at].block && large[at].size != size)) continue;
        if (!large[at].block) large[at].block = malloc(size);
        if (!large[at].block) return NULL;
        ASAN_UNPOISON_MEMORY_REGION(large[at].block, size);
        large[at].size = size;
        large[at].used = true;
        return large[at].block;
    }
    return malloc(size);
}

void kernel_free(void *block) {
    for (int at = 0; block && at < LARGE_BLOCKS; at++)
        if (large[at].block == block) {
            REQUIRE(large[at].used);
            ASAN_POISON_MEMORY_REGION(block, large[at].size);
            large[at].used = false;
            return;
        }
    free(block);
}

int kernel_munmap(void *where, size_t size) {
    (void)where, (void)size;
    return 0;
}

int kernel_clock_gettime(clockid_t clock, struct timespec *now) {
    (void)clock;
    sim_clock_ns += 1000;
    now->tv_sec = (time_t)(sim_clock_ns / 1000000000);
    now->tv_nsec = (long)(sim_clock_ns % 1000000000);
    return 0;
}

/* The same for each input, or no report could be repeated. */
ssize_t kernel_getrandom(void *to, size_t size, unsigned flags) {
    static const uint8_t seed[16] = "no two are alike";
    (void)flags;
    for (size_t at = 0; at < size; at++) ((uint8_t *)to)[at] = (uint8_t)(seed[at & 15] + at);
    return (ssize_t)size;
}
