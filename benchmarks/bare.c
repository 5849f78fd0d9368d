/*
 * bare - what a relay with one shared port costs at least: the kernel's part and nothing else.
 *
 *     bare PORT RELAY_PORT
 *
 * Speaks to turnload -B -M: answers every request with success, forwards ChannelData to the peer
 * of the client's channel and back, in batches of 64 by recvmmsg and sendmmsg. Nothing is checked,
 * counted, expired or authenticated, so it is no relay: a row of the table beside which those of
 * relays are to be read. Loopback only. Ends by a signal.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define BATCH 64
#define LONGEST 2048
#define HOSTS 65536
#define MAGIC 0x2112a442u

/* Clients and peers by the last two bytes of their addresses, which turnload gives them. */
static struct sockaddr_in clients[HOSTS], peers[HOSTS];
static uint16_t channels[HOSTS], client_of[HOSTS];

static struct mmsghdr received[BATCH], sending[BATCH];
static struct iovec room[BATCH], parts[BATCH][2];
static uint8_t packets[BATCH][LONGEST], heads[BATCH][4];
static struct sockaddr_in from[BATCH];
static int listener, relay, relay_port;

static unsigned get16(const uint8_t *at) { return (unsigned)at[0] << 8 | at[1]; }

static void put16(uint8_t *at, unsigned value) {
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static unsigned host(const struct sockaddr_in *at) { return ntohl(at->sin_addr.s_addr) & 0xffff; }

static int bound(int port) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), size = 4 << 20;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || bind(fd, (void *)&at, sizeof at)) {
        perror("bare");
        exit(2);
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    return fd;
}

/* Remember which channel and peer a client names in its ChannelBind. */
static void bind_channel(const uint8_t *b, size_t size, const struct sockaddr_in *client) {
    unsigned i = host(client);
    clients[i] = *client;
    for (size_t at = 20; at + 8 <= size; at += 4 + ((get16(b + at + 2) + 3u) & ~3u)) {
        uint32_t ip;
        if (get16(b + at) == 0x000c) channels[i] = (uint16_t)get16(b + at + 4);
        if (get16(b + at) != 0x0012 || at + 12 > size) continue;
        memcpy(&ip, b + at + 8, 4);
        peers[i].sin_family = AF_INET;
        peers[i].sin_port = htons((uint16_t)(get16(b + at + 6) ^ (MAGIC >> 16)));
        peers[i].sin_addr.s_addr = ip ^ htonl(MAGIC);
        client_of[host(&peers[i])] = (uint16_t)i;
    }
}

static void answer(const uint8_t *request, size_t size, struct sockaddr_in *client) {
    uint8_t b[32];
    uint32_t ip = htonl(INADDR_LOOPBACK ^ MAGIC);
    if (size < 20) return;
    memcpy(b, request, 20);
    put16(b, get16(request) | 0x0100);
    put16(b + 2, 12);
    put16(b + 20, 0x0016);
    put16(b + 22, 8);
    put16(b + 24, 1);
    put16(b + 26, (unsigned)relay_port ^ (MAGIC >> 16));
    memcpy(b + 28, &ip, 4);
    if (get16(request) == 0x0009) bind_channel(request, size, client);
    sendto(listener, b, sizeof b, 0, (void *)client, sizeof *client);
}

static void send_to(int k, int count, struct sockaddr_in *to) {
    sending[k].msg_hdr = (struct msghdr){.msg_iov = parts[k],
                                         .msg_iovlen = (size_t)count,
                                         .msg_name = to,
                                         .msg_namelen = sizeof *to};
}

/* From a client to its peer; how many packets now wait. */
static int up(int i, int k) {
    if (packets[i][0] < 0x40) {
        answer(packets[i], received[i].msg_len, &from[i]);
        return k;
    }
    parts[k][0] = (struct iovec){packets[i] + 4, received[i].msg_len - 4};
    send_to(k, 1, &peers[host(&from[i])]);
    return k + 1;
}

/* From a peer to its client. */
static int down(int i, int k) {
    unsigned client = client_of[host(&from[i])];
    put16(heads[k], channels[client]);
    put16(heads[k] + 2, received[i].msg_len);
    parts[k][0] = (struct iovec){heads[k], 4};
    parts[k][1] = (struct iovec){packets[i], received[i].msg_len};
    send_to(k, 2, &clients[client]);
    return k + 1;
}

static void forward(int fd) {
    for (int i = 0; i < BATCH; i++)
        received[i].msg_hdr.msg_namelen = sizeof from[i];
    int count = recvmmsg(fd, received, BATCH, MSG_DONTWAIT, NULL), waiting = 0, sent = 0;
    for (int i = 0; i < count; i++)
        waiting = fd == listener ? up(i, waiting) : down(i, waiting);
    while (sent < waiting) {
        int done = sendmmsg(fd == listener ? relay : listener, sending + sent,
                            (unsigned)(waiting - sent), 0);
        if (done <= 0) return;
        sent += done;
    }
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "bare PORT RELAY_PORT\n");
        return 1;
    }
    relay_port = atoi(argv[2]);
    listener = bound(atoi(argv[1]));
    relay = bound(relay_port);
    int epoll = epoll_create1(0);
    struct epoll_event watched = {.events = EPOLLIN, .data.fd = listener}, ready[2];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &watched);
    watched.data.fd = relay;
    epoll_ctl(epoll, EPOLL_CTL_ADD, relay, &watched);
    for (int i = 0; i < BATCH; i++) {
        room[i] = (struct iovec){packets[i], LONGEST};
        received[i].msg_hdr =
            (struct msghdr){.msg_iov = &room[i], .msg_iovlen = 1, .msg_name = &from[i]};
    }
    for (;;) {
        int count = epoll_wait(epoll, ready, 2, -1);
        for (int i = 0; i < count; i++)
            forward(ready[i].data.fd);
    }
}
