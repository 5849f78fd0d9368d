/*
 * instructions - packets through the relay's C core, for valgrind to count what they take.
 *
 *     valgrind --tool=callgrind --toggle-collect=dp_drain ./instructions up 2000
 *
 * Flows, sockets and peers are those of a relay on the loopback; only what happens inside dp_drain
 * counts, and of the kernel nothing does. Prints how many packets came out. Linked with the core
 * alone: no Python is in it.
 */
#include "relay.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FLOWS 200
#define A_TICK 10 /* packets that wait in one wake-up: 10,000 a second in ticks of a millisecond */
#define TRAIN 8
#define LARGEST 1200
#define FOREVER 1e9

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

struct bench {
    struct dp_plane *plane;
    int peer;
    union dp_addr listener, peer_at, relay_at[FLOWS];
    int client[FLOWS];
};

static void die(const char *what) {
    perror(what);
    exit(2);
}

static int bound(union dp_addr *at) {
    socklen_t size = sizeof at->in;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    memset(at, 0, sizeof *at);
    at->in.sin_family = AF_INET;
    at->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, &at->sa, size) || getsockname(fd, &at->sa, &size)) die("socket");
    return fd;
}

static void add_flow(struct bench *bench, struct dp_turn *turn, uint64_t listener, int i) {
    union dp_addr client, *peer = &bench->peer_at;
    struct dp_flow *flow = dp_flow_open(turn, 0);
    bench->client[i] = bound(&client);
    uint64_t relay = dp_turn_bind(turn, bound(&bench->relay_at[i]));
    if (!flow || !relay || dp_flow_set_udp(flow, listener, &client) ||
        dp_flow_add_relay(flow, relay) || dp_flow_permit(flow, peer, peer, NULL, 0, FOREVER) ||
        dp_flow_bind_channel(flow, (uint16_t)(0x4000 + i), peer, FOREVER))
        die("flow");
}

static void open_all(struct bench *bench) {
    bench->plane = dp_open();
    struct dp_turn *turn = bench->plane ? dp_turn_open(bench->plane) : NULL;
    if (!turn) die("plane");
    uint64_t listener = dp_turn_listen(turn, bound(&bench->listener));
    bench->peer = bound(&bench->peer_at);
    for (int i = 0; i < FLOWS; i++)
        add_flow(bench, turn, listener, i);
}

static void put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static size_t channel_data(uint8_t *b, int i, size_t size) {
    put16(b, 0x4000u + (unsigned)i);
    put16(b + 2, (unsigned)size);
    memset(b + 4, 0x55, size);
    return size + 4;
}

static size_t send_indication(const struct bench *bench, uint8_t *b, size_t size) {
    static const uint8_t head[] = {0, 0x16, 0, 0, 0x21, 0x12, 0xa4, 0x42};
    uint32_t ip = bench->peer_at.in.sin_addr.s_addr ^ htonl(0x2112a442);
    memset(b, 0x55, 36 + size);
    memcpy(b, head, sizeof head);
    put16(b + 2, (unsigned)size + 16);
    put16(b + 20, 0x0012);
    put16(b + 22, 8);
    put16(b + 24, 1);
    put16(b + 26, ntohs(bench->peer_at.in.sin_port) ^ 0x2112u);
    memcpy(b + 28, &ip, 4);
    put16(b + 32, 0x0013);
    put16(b + 34, (unsigned)size);
    return 36 + size;
}

static void send_one(int from, const union dp_addr *to, const void *data, size_t size) {
    if (sendto(from, data, size, 0, &to->sa, sizeof to->in) != (ssize_t)size) die("sendto");
}

static void send_train(const struct bench *bench, int i) {
    static uint8_t data[TRAIN * (LARGEST + 4)];
    char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct iovec part = {data, 0};
    struct msghdr message = {.msg_name = (void *)&bench->listener,
                             .msg_namelen = sizeof bench->listener.in,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    struct cmsghdr *h = CMSG_FIRSTHDR(&message);
    const uint16_t segment = LARGEST + 4;
    for (int k = 0; k < TRAIN; k++)
        part.iov_len += channel_data(data + part.iov_len, i, LARGEST);
    *h = (struct cmsghdr){
        .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT, .cmsg_len = CMSG_LEN(sizeof segment)};
    memcpy(CMSG_DATA(h), &segment, sizeof segment);
    if (sendmsg(bench->client[i], &message, 0) < 0) die("sendmsg");
}

static void offer(const struct bench *bench, const char *kind, int i) {
    uint8_t data[LARGEST + 64];
    if (!strcmp(kind, "up"))
        send_one(bench->client[i], &bench->listener, data, channel_data(data, i, 172));
    else if (!strcmp(kind, "indications"))
        send_one(bench->client[i], &bench->listener, data, send_indication(bench, data, 172));
    else if (!strcmp(kind, "trains"))
        send_train(bench, i);
    else {
        memset(data, 0x55, 172);
        send_one(bench->peer, &bench->relay_at[i], data, 172);
    }
}

static long arrived(int fd) {
    uint8_t data[2048];
    long count = 0;
    while (recv(fd, data, sizeof data, 0) >= 0)
        count++;
    if (errno != EAGAIN) die("recv");
    return count;
}

int main(int argc, char **argv) {
    static struct bench bench;
    if (argc != 3) {
        fprintf(stderr, "instructions up|down|indications|trains ROUNDS\n");
        return 1;
    }
    open_all(&bench);
    long rounds = atol(argv[2]), out = 0;
    int per_round = strcmp(argv[1], "trains") ? A_TICK : 1, next = 0;
    for (long round = 0; round < rounds; round++) {
        int from[A_TICK];
        for (int k = 0; k < per_round; k++) {
            from[k] = next++ % FLOWS;
            offer(&bench, argv[1], from[k]);
        }
        dp_drain(bench.plane, 1.0 + (double)round / 1000);
        for (int k = 0; k < per_round; k++)
            out += arrived(bench.client[from[k]]);
        out += arrived(bench.peer);
    }
    printf("%ld\n", out);
    return 0;
}
