/*
 * garbage - a bounded flood of what a relay must throw away cheaply.
 *
 * Sends to one UDP server, at a fixed rate and for at most 60 seconds, equal parts of
 *   - random bytes,
 *   - STUN messages cut short (a good header whose length is a lie),
 *   - ChannelData of clients that have no allocation,
 *   - well-formed Allocate requests without credentials.
 * Every packet leaves from another loopback address (127.70.x.y, by IP_PKTINFO), so no limit per
 * source address alone stops it. Answers are counted and thrown away. One JSON object at the end.
 *
 * Build: cc -O2 -Wall -o garbage garbage.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define LONGEST 1200
#define TICK_NS 1000000

static uint64_t random_state = 88172645463325252ull;
static struct sockaddr_in server;
static int source_count = 4096;

static uint64_t next_random(void) /* xorshift64: the same flood every time */
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state;
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void put16(uint8_t *p, unsigned value) {
    p[0] = value >> 8;
    p[1] = value;
}

static void fill(uint8_t *p, int length) {
    for (int i = 0; i < length; i++)
        p[i] = next_random();
}

static int random_bytes(uint8_t *p) {
    int length = 1 + next_random() % (next_random() % 8 ? 64 : LONGEST);
    fill(p, length);
    return length;
}

static void stun_header(uint8_t *p, unsigned type, unsigned length) {
    put16(p, type);
    put16(p + 2, length);
    memcpy(p + 4, "\x21\x12\xa4\x42", 4);
    fill(p + 8, 12);
}

static int truncated_stun(uint8_t *p) {
    static const unsigned types[] = {0x0001, 0x0003, 0x0004, 0x0008, 0x0009, 0x0016};
    int body = next_random() % 60;
    stun_header(p, types[next_random() % 6], body + 4 + 4 * (next_random() % 32));
    fill(p + 20, body);
    return 20 + body;
}

static int channel_data(uint8_t *p) {
    put16(p, 0x4000 + next_random() % 0x1000);
    put16(p + 2, 172);
    memset(p + 4, 0x55, 172);
    return 176;
}

static int allocate(uint8_t *p) {
    stun_header(p, 0x0003, 8);
    memcpy(p + 20, "\x00\x19\x00\x04\x11\x00\x00\x00", 8); /* REQUESTED-TRANSPORT: UDP */
    return 28;
}

static int (*const kinds[])(uint8_t *) = {random_bytes, truncated_stun, channel_data, allocate};

struct slot {
    uint8_t packet[LONGEST + 64];
    char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
    struct iovec vector;
};

static struct slot slots[BATCH];
static struct mmsghdr messages[BATCH];

static void prepare(int i, uint64_t serial) {
    struct slot *s = &slots[i];
    struct msghdr *m = &messages[i].msg_hdr;
    uint32_t source = serial / 4 % source_count;
    s->vector = (struct iovec){s->packet, kinds[serial % 4](s->packet)};
    *m = (struct msghdr){.msg_name = &server,
                         .msg_namelen = sizeof server,
                         .msg_iov = &s->vector,
                         .msg_iovlen = 1,
                         .msg_control = s->control,
                         .msg_controllen = sizeof s->control};
    struct cmsghdr *c = CMSG_FIRSTHDR(m);
    c->cmsg_level = IPPROTO_IP;
    c->cmsg_type = IP_PKTINFO;
    c->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo info = {0};
    info.ipi_spec_dst.s_addr = htonl(0x7f460000u + source / 254 * 256 + source % 254 + 1);
    memcpy(CMSG_DATA(c), &info, sizeof info);
}

static uint64_t count_answers(int sock) {
    uint64_t count = 0;
    char byte;
    while (recv(sock, &byte, 1, MSG_DONTWAIT) >= 0)
        count++;
    return count;
}

static void usage(void) {
    fprintf(stderr, "garbage -H host -P port [-r packets/s (50000)] [-d seconds, at most 60 (10)]\n"
                    "        [-n source addresses (4096)] [-c cpu]\n");
    exit(1);
}

int main(int argc, char **argv) {
    const char *host = "127.0.0.1";
    int port = 3478, cpu = -1, option;
    double rate = 50000, seconds = 10;
    while ((option = getopt(argc, argv, "H:P:r:d:n:c:")) != -1)
        switch (option) {
        case 'H': host = optarg; break;
        case 'P': port = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'd': seconds = atof(optarg); break;
        case 'n': source_count = atoi(optarg); break;
        case 'c': cpu = atoi(optarg); break;
        default: usage();
        }
    server = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, host, &server.sin_addr) != 1 ||
        ntohl(server.sin_addr.s_addr) >> 24 != 127) {
        fprintf(stderr, "garbage: only to loopback\n");
        return 2;
    }
    if (seconds > 60 || rate < 1 || rate > 1e6 || source_count < 1 || source_count > 60000) usage();
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        sched_setaffinity(0, sizeof set, &set);
    }
    alarm((unsigned)seconds + 10);
    int sock = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in any = {.sin_family = AF_INET};
    if (sock < 0 || bind(sock, (void *)&any, sizeof any)) {
        perror("garbage");
        return 2;
    }
    uint64_t start = now_ns(), sent = 0, skipped = 0, answers = 0, elapsed;
    while ((elapsed = now_ns() - start) < seconds * 1e9) {
        uint64_t due = elapsed / 1e9 * rate - sent - skipped;
        if (due > rate / 20) { /* we were not run for 50 ms: do not make up for it in one blow */
            skipped += due - rate / 20;
            due = rate / 20;
        }
        while (due > 0) {
            int count = due < BATCH ? due : BATCH;
            for (int i = 0; i < count; i++)
                prepare(i, sent + i);
            int done = sendmmsg(sock, messages, count, 0);
            if (done <= 0) break;
            sent += done;
            due -= done;
        }
        answers += count_answers(sock);
        uint64_t rest = TICK_NS - (now_ns() - start) % TICK_NS;
        nanosleep(&(struct timespec){0, rest}, NULL);
    }
    printf("{\"kind\":\"garbage\",\"sent\":%llu,\"skipped\":%llu,\"answers\":%llu,\"pps\":%.0f}\n",
           (unsigned long long)sent, (unsigned long long)skipped, (unsigned long long)answers,
           sent / (elapsed / 1e9));
    return 0;
}
