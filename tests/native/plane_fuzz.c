/*
 * Wake-ups over sockets that answer: what is sent is what was asked for, in that order, or counted.
 */
#include "input.h"
#include "kernel.h"
#include "plane.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ECHOES 12
#define EXPECTED 8192
#define POOL ((size_t)1 << 20)
#define LARGE 40000
#define LOOKED_AT 64

/* Says by its first byte what is to become of a datagram. */
enum wish { DROP, ANSWER, WITH_HEAD, IN_PARTS, ELSEWHERE, TELL, FORGET, IN_HEADROOM, WISHES };

struct echo {
    struct dp_socket socket;
    uint64_t handle;
    struct dp_tally tally;
    uint64_t asked;
    bool forgets_on_error;
    bool writes;
};

static struct dp_plane *plane;
static struct echo *echoes[ECHOES];
static struct dp_tally shared;
static uint64_t shared_asked;
static uint8_t pool[POOL];
static size_t pool_used;
static uint8_t counting[LARGE + 256]; /* 0, 1, 2 and so on */
static size_t arrived;
static size_t told;

/* What may leave each socket from now on, as hashes. */
static uint64_t expected[SIM_SOCKETS][EXPECTED];
static size_t expected_first[SIM_SOCKETS];
static size_t expected_used[SIM_SOCKETS];

/* Of both ends, which tells datagrams apart: the sanitizer looks at what lies between. */
static uint64_t hash(uint64_t from, const uint8_t *data, size_t size) {
    if (size > 2 * LOOKED_AT) {
        from = hash(from ^ size, data, LOOKED_AT);
        return hash(from, data + size - LOOKED_AT, LOOKED_AT);
    }
    uint64_t word;
    for (; size >= sizeof word; data += sizeof word, size -= sizeof word) {
        memcpy(&word, data, sizeof word);
        from = (from ^ word) * 0x9E3779B97F4A7C15U;
        from ^= from >> 29;
    }
    for (size_t at = 0; at < size; at++) from = (from ^ data[at]) * 0x100000001B3U;
    return from;
}

static uint64_t hash_out(const struct dp_out *out) {
    static uint8_t whole[DP_HEADROOM + DP_LARGEST];
    size_t size = 0;
    for (int at = 0; at < out->parts; at++) {
        memcpy(whole + size, out->part[at].iov_base, out->part[at].iov_len);
        size += out->part[at].iov_len;
    }
    REQUIRE(size == out->size);
    return hash(out->to.in.sin_port, whole, size);
}

static void check_sent(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    uint64_t found = hash(to->in.sin_port, data, size);
    size_t at = (size_t)(fd - SIM_FIRST_FD);
    while (expected_first[at] < expected_used[at])
        if (expected[at][expected_first[at]++] == found) return;
    sim_fail("what is sent was asked for");
}

static bool expect(const struct echo *echo, const struct dp_out *out) {
    size_t at = (size_t)(echo->socket.fd - SIM_FIRST_FD);
    if (expected_used[at] < EXPECTED) expected[at][expected_used[at]++] = hash_out(out);
    return true;
}

static bool has_room(const struct echo *echo) {
    return expected_used[echo->socket.fd - SIM_FIRST_FD] < EXPECTED;
}

/* The kind */

static int at_of(const struct echo *echo) {
    for (int at = 0; at < ECHOES; at++)
        if (echoes[at] == echo) return at;
    sim_fail("the socket is known");
}

static void drop(struct echo *echo) {
    echoes[at_of(echo)] = NULL;
    expected_used[echo->socket.fd - SIM_FIRST_FD] = 0;
    expected_first[echo->socket.fd - SIM_FIRST_FD] = 0;
    dp_forget(plane, &echo->socket);
    free(echo);
}

static void check_content(const uint8_t *data, size_t size) {
    REQUIRE(size < 3 || data[size - 1] == (uint8_t)(data[1] + size - 2));
}

static void fill(struct dp_out *out, uint8_t *data, size_t size, enum wish wish) {
    size_t third = size / 3;
    out->octets = size;
    switch (wish) {
    case WITH_HEAD:
        memset(out->head, 0xEE, sizeof out->head);
        out->part[0] = (struct iovec){out->head, DP_HEAD};
        out->part[1] = (struct iovec){data, size};
        out->parts = 2;
        out->size = size + DP_HEAD;
        break;
    case IN_PARTS:
        out->part[0] = (struct iovec){data, third};
        out->part[1] = (struct iovec){data + third, third};
        out->part[2] = (struct iovec){data + 2 * third, size - 2 * third};
        out->parts = 3;
        out->size = size;
        break;
    default:
        out->part[0] = (struct iovec){data, size};
        out->parts = 1;
        out->size = size;
    }
}

static void answer(struct echo *echo, const union dp_addr *to, uint8_t *data, size_t size,
                   enum wish wish) {
    struct echo *by = echo;
    if (wish == ELSEWHERE && size > 1 && echoes[data[1] % ECHOES]) by = echoes[data[1] % ECHOES];
    if (!has_room(by)) return;
    struct dp_out *out = dp_out(plane, &by->socket, to);
    fill(out, data, size, wish);
    out->tally = by == echo ? &echo->tally : &shared;
    if (by == echo)
        echo->asked++;
    else
        shared_asked++;
    expect(by, out);
}

/* False if the socket is gone. */
static bool take_datagram(struct echo *echo, const struct dp_slot *slot, size_t from, size_t size) {
    uint8_t *data = slot->data + from;
    enum wish wish = size ? data[0] % WISHES : ANSWER;
    check_content(data, size);
    arrived++;
    if (wish == TELL) {
        told += dp_tell(plane, 1, echo->handle, size, &slot->from, data, size);
    } else if (wish == IN_HEADROOM && !from) {
        memset(data - DP_HEADROOM, 0xDD, DP_HEADROOM);
        answer(echo, &slot->from, data - DP_HEADROOM, size + DP_HEADROOM, ANSWER);
    } else if (wish != DROP && wish != FORGET) {
        answer(echo, &slot->from, data, size, wish);
    }
    return wish != FORGET;
}

static int readable(struct dp_plane *its, struct dp_socket *socket, int share) {
    struct echo *echo = (struct echo *)socket;
    int count = dp_receive(its, socket, share);
    bool stays = true;
    REQUIRE(its == plane && count <= share);
    for (int at = 0; at < count; at++) {
        const struct dp_slot *slot = &plane->slots[at];
        REQUIRE(slot->size <= DP_LARGEST && slot->segment <= slot->size);
        size_t from = 0;
        do {
            size_t size = slot->size - from < slot->segment ? slot->size - from : slot->segment;
            stays &= take_datagram(echo, slot, from, size);
            from += slot->segment;
        } while (from < slot->size);
    }
    if (!stays) drop(echo);
    return count;
}

static void errors(struct dp_plane *its, struct dp_socket *socket) {
    struct echo *echo = (struct echo *)socket;
    REQUIRE(its == plane);
    sim_error(socket->fd, 0);
    if (echo->forgets_on_error) drop(echo);
}

static void writable(struct dp_plane *its, struct dp_socket *socket) {
    dp_want_writable(its, socket, false);
}

static const struct dp_kind plain = {readable, NULL, NULL};
static const struct dp_kind with_errors = {readable, NULL, errors};
static const struct dp_kind with_writable = {readable, writable, NULL};

/* The program */

static union dp_addr addr_of(bool six, uint16_t port) {
    union dp_addr addr;
    memset(&addr, 0, sizeof addr);
    addr.in.sin_family = six ? AF_INET6 : AF_INET;
    addr.in.sin_port = htons(port);
    if (six)
        addr.in6.sin6_addr = in6addr_loopback;
    else
        addr.in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return addr;
}

static void open_echo(int at, uint8_t how) {
    union dp_addr own = addr_of(how & 1, (uint16_t)(4000 + at));
    if (echoes[at]) return;
    struct echo *echo = calloc(1, sizeof *echo);
    int fd = sim_udp(&own);
    const struct dp_kind *kind = how & 2 ? &with_errors : how & 4 ? &with_writable : &plain;
    REQUIRE(echo && fd >= 0 && !dp_watch(plane, &echo->socket, fd, kind));
    echo->handle = dp_number(plane);
    echo->forgets_on_error = how & 8;
    echo->writes = kind->writable;
    echoes[at] = echo;
}

static void arrive(struct input *input, const struct echo *echo, bool train) {
    uint8_t first = take_u8(input);
    uint8_t source = take_u8(input);
    size_t size = take_u8(input);
    if (size >= 250) size = (size - 249) * 227;
    size_t count = train ? (size_t)take_u8(input) % 64 + 1 : 1;
    if (source == 255) size = LARGE;
    size_t all = size * count - (train && size ? source % size : 0);
    if (all > DP_LARGEST || all > POOL - pool_used) return;
    uint8_t *data = pool + pool_used;
    pool_used += all;
    for (size_t from = 0; from < all; from += size) {
        size_t one = all - from < size ? all - from : size;
        memcpy(data + from, counting + source, one);
        data[from] = first;
    }
    union dp_addr addr = addr_of(echo->socket.family == AF_INET6, 6000 + (source & 3));
    sim_arrive(echo->socket.fd, &addr, data, all, train ? size : 0);
}

static void check_plane(void) {
    REQUIRE(!plane->outs_used && !plane->pending_used);
    REQUIRE(plane->events_used <= DP_EVENTS);
    REQUIRE(shared.packets + shared.failed <= shared_asked);
    for (int at = 0; at < ECHOES; at++) {
        const struct echo *echo = echoes[at];
        if (!echo) continue;
        REQUIRE(echo->tally.packets + echo->tally.failed == echo->asked);
        REQUIRE(echo->socket.first == -1);
    }
    memset(expected_first, 0, sizeof expected_first);
    memset(expected_used, 0, sizeof expected_used);
}

static void take_events(void) {
    REQUIRE(told == (size_t)plane->events_used);
    for (int at = 0; at < plane->events_used; at++) {
        const struct dp_event *event = &plane->events[at];
        REQUIRE(event->size == event->more && event->owner <= plane->numbers);
        check_content(event->data, event->size);
    }
    dp_told(plane);
    told = 0;
}

static void drain(void) {
    REQUIRE(dp_drain(plane, (double)sim_clock_ns * 1e-9) == plane->events_used);
    check_plane();
}

/* Its descriptor is somebody else's from now on, who closes it. */
static void release(struct echo *echo) {
    int fd = dp_release(plane, &echo->socket);
    REQUIRE(sim_is_open(fd) && echo->socket.fd == -1);
    kernel_close(fd);
    echoes[at_of(echo)] = NULL;
    free(echo);
}

/* What is said to a socket directly. */
static void say(struct input *input, struct echo *echo, uint8_t what) {
    union dp_addr to = addr_of(echo->socket.family == AF_INET6, 7000);
    switch (what % 8) {
    case 0:
        drop(echo);
        break;
    case 1:
    case 2:
        arrive(input, echo, false);
        break;
    case 3:
        arrive(input, echo, true);
        break;
    case 4:
        sim_error(echo->socket.fd, sim_errno_of(take_u8(input)));
        break;
    case 5:
        if (echo->writes) dp_want_writable(plane, &echo->socket, true);
        break;
    case 6:
        release(echo);
        break;
    default:
        answer(echo, &to, pool, 3, ANSWER);
        dp_flush(plane);
    }
}

static void step(struct input *input) {
    uint8_t what = take_u8(input);
    int at = (what >> 4) % ECHOES;
    switch (what & 15) {
    case 0:
    case 1:
        open_echo(at, take_u8(input));
        break;
    case 2:
        sim_plan_send(take_u8(input));
        break;
    case 3:
        sim_plan_receive(take_u8(input));
        break;
    case 4:
        sim_plan_options(take_u8(input) & 3);
        break;
    case 5:
        drain();
        break;
    case 6:
        take_events();
        break;
    default:
        if (echoes[at]) say(input, echoes[at], what & 7 ? what : take_u8(input));
    }
}

static void end(void) {
    drain();
    take_events();
    for (int at = 0; at < ECHOES; at++)
        if (echoes[at]) drop(echoes[at]);
    dp_close(plane);
}

static void count_up(void) {
    if (counting[1]) return;
    for (size_t at = 0; at < sizeof counting; at++) counting[at] = (uint8_t)at;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct input input = {data, size};
    count_up();
    sim_reset();
    sim_ears = (struct sim_ears){.sent = check_sent};
    plane = dp_open();
    REQUIRE(plane);
    memset(&shared, 0, sizeof shared);
    pool_used = arrived = told = shared_asked = 0;
    while (input.left) step(&input);
    end();
    return 0;
}
