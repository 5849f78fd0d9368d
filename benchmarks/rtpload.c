/*
 * rtpload - RTP/SRTP load through a media bridge on loopback.
 *
 * Reads calls from a file, one per line:
 *     APORT BPORT BRIDGE_IP BRIDGE_A BRIDGE_B  A_TX A_RX B_TX B_RX
 * Endpoint A (127.0.0.1:APORT) exchanges RTP with BRIDGE_IP:BRIDGE_A, endpoint B
 * with BRIDGE_B.  The last four are SDES keys (base64: of 30 bytes for
 * AES_CM_128_HMAC_SHA1_80, of 28 for AEAD_AES_128_GCM) for what that endpoint
 * sends / receives, or "-" for plain RTP.  Sends 172-byte RTP (160 B payload) at a fixed rate in both
 * directions and reports delivery, latency and the bridge's CPU us per packet.
 *
 * Build: cc -O2 -Wall -o rtpload rtpload.c -lsrtp2 -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <sched.h>
#include <signal.h>
#include <srtp2/srtp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#define PM 0x72747062u
struct end {
    int fd;
    struct sockaddr_in to;
    srtp_t tx, rx;
    uint16_t seq;
    uint32_t ssrc, ts;
    int call, side;
};
static struct end *E;
static int ncalls, ep, pids[64], npids, cpu = -1, payload = 160;
static int tick_us = 200;
static uint32_t ssrc0;
static double rate = 10000, secs = 5;
static const char *label = "", *dir = "both";
static uint64_t sent[2], rcvd[2], bad, undec;
static uint64_t *lat;
static size_t nl, capl;
static uint32_t epoch;
static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void p32(uint8_t *b, uint32_t v) {
    b[0] = v >> 24;
    b[1] = v >> 16;
    b[2] = v >> 8;
    b[3] = v;
}
static uint32_t g32(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}
static double cpu_us(void) {
    double s = 0;
    for (int i = 0; i < npids; i++) {
        char p[512];
        snprintf(p, sizeof p, "/proc/%d/task", pids[i]);
        DIR *d = opendir(p);
        struct dirent *e;
        if (!d)
            continue;
        while ((e = readdir(d))) {
            if (e->d_name[0] == '.')
                continue;
            snprintf(p, sizeof p, "/proc/%d/task/%s/schedstat", pids[i], e->d_name);
            FILE *f = fopen(p, "r");
            unsigned long long a;
            if (f) {
                if (fscanf(f, "%llu", &a) == 1)
                    s += a / 1e3;
                fclose(f);
            }
        }
        closedir(d);
    }
    return s;
}
static long rss(void) {
    long t = 0;
    for (int i = 0; i < npids; i++) {
        char p[64], b[256];
        snprintf(p, sizeof p, "/proc/%d/status", pids[i]);
        FILE *f = fopen(p, "r");
        long k;
        if (f) {
            while (fgets(b, sizeof b, f))
                if (sscanf(b, "VmRSS: %ld", &k) == 1)
                    t += k;
            fclose(f);
        }
    }
    return t;
}
static srtp_t mk(const char *k, int in) {
    if (k[0] == '-')
        return NULL;
    static uint8_t raw[64];
    EVP_DecodeBlock(raw, (const uint8_t *)k, strlen(k));
    /* 30 bytes, or 28 and two signs that say so. */
    int gcm = k[strlen(k) - 1] == '=';
    uint8_t *key = malloc(30);
    memcpy(key, raw, 30);
    srtp_policy_t p;
    memset(&p, 0, sizeof p);
    if (gcm) {
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p.rtp);
        srtp_crypto_policy_set_aes_gcm_128_16_auth(&p.rtcp);
    } else {
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p.rtp);
        srtp_crypto_policy_set_aes_cm_128_hmac_sha1_80(&p.rtcp);
    }
    p.ssrc.type = in ? ssrc_any_inbound : ssrc_any_outbound;
    p.key = key;
    p.window_size = 1024;
    p.allow_repeat_tx = 0;
    srtp_t s;
    if (srtp_create(&s, &p)) {
        fprintf(stderr, "srtp_create\n");
        exit(2);
    }
    return s;
}
static int mksock(int port) {
    int f = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
    a.sin_addr.s_addr = htonl(0x7f000001);
    int rb = 1 << 20;
    setsockopt(f, SOL_SOCKET, SO_RCVBUFFORCE, &rb, sizeof rb);
    if (bind(f, (void *)&a, sizeof a)) {
        perror("bind");
        exit(2);
    }
    return f;
}
static void tx(struct end *e) {
    uint8_t b[2048];
    b[0] = 0x80;
    b[1] = 0;
    b[2] = e->seq >> 8;
    b[3] = e->seq;
    e->seq++;
    p32(b + 4, e->ts);
    e->ts += 160;
    p32(b + 8, e->ssrc);
    memset(b + 12, 0xd5, payload);
    p32(b + 12, PM);
    p32(b + 16, e->call);
    p32(b + 20, epoch);
    uint64_t t = now_ns();
    memcpy(b + 24, &t, 8);
    int n = 12 + payload;
    if (e->tx && srtp_protect(e->tx, b, &n)) {
        bad++;
        return;
    }
    if (sendto(e->fd, b, n, 0, (void *)&e->to, sizeof e->to) == n)
        sent[e->side]++;
}
static int rx(struct end *e) {
    uint8_t b[2048];
    int k = 0;
    for (; k < 16; k++) {
        int n = recv(e->fd, b, sizeof b, MSG_DONTWAIT);
        if (n < 0)
            break;
        if (n < 12 || (b[1] & 0x7f) >= 72)
            continue; /* RTCP */
        if (e->rx && srtp_unprotect(e->rx, b, &n)) {
            undec++;
            continue;
        }
        if (n != 12 + payload || g32(b + 12) != PM || g32(b + 16) != (uint32_t)e->call) {
            bad++;
            continue;
        }
        if (g32(b + 20) != epoch)
            continue;
        uint64_t t;
        memcpy(&t, b + 24, 8);
        rcvd[!e->side]++;
        if (nl < capl)
            lat[nl++] = now_ns() - t;
    }
    return k;
}
static int io(int us) {
    struct epoll_event ev[256];
    struct timespec t = {us / 1000000, us % 1000000 * 1000L};
    int r = epoll_pwait2(ep, ev, 256, &t, NULL), g = 0;
    for (int i = 0; i < r; i++)
        g += rx(ev[i].data.ptr);
    return g;
}
static int cmp(const void *a, const void *b) {
    uint64_t x = *(uint64_t *)a, y = *(uint64_t *)b;
    return x < y ? -1 : x > y;
}
static double pc(double p) {
    return nl ? lat[(size_t)((nl - 1) * p)] / 1e3 : 0;
}
static void trial(double r, double s, int print) {
    epoch++;
    sent[0] = sent[1] = rcvd[0] = rcvd[1] = bad = undec = 0;
    nl = 0;
    double a = cpu_us();
    struct rusage u0, u1;
    getrusage(RUSAGE_SELF, &u0);
    uint64_t t0 = now_ns(), end = t0 + s * 1e9;
    double sched = 0, skipped = 0;
    int rr = 0;
    uint64_t last = 0;
    int from = !strcmp(dir, "b2a"), step = strcmp(dir, "both") ? 2 : 1;
    while (now_ns() < end) {
        double want = (now_ns() - t0) / 1e9 * r;
        int due = want - sched;
        if (due < 0 || now_ns() - last < (uint64_t)tick_us * 1000)
            due = 0;
        else
            last = now_ns();
        if (due > r * 0.02 + 64) {
            skipped += due - (int)(r * 0.02 + 64);
            sched += due - (int)(r * 0.02 + 64);
            due = r * 0.02 + 64;
        }
        for (int i = 0; i < due; i++) {
            tx(&E[(rr * step + from) % (2 * ncalls)]);
            rr++;
        }
        sched += due;
        if (!io(0)) {
            int64_t w = tick_us - (int64_t)(now_ns() - last) / 1000;
            io(w > 1 ? w : 1);
        }
    }
    double el = (now_ns() - t0) / 1e9;
    uint64_t q = now_ns();
    while (now_ns() - q < 300000000ull)
        io(20000);
    double b = cpu_us();
    getrusage(RUSAGE_SELF, &u1);
    qsort(lat, nl, 8, cmp);
    uint64_t S = sent[0] + sent[1], R = rcvd[0] + rcvd[1];
    double self =
        (u1.ru_utime.tv_sec - u0.ru_utime.tv_sec + u1.ru_stime.tv_sec - u0.ru_stime.tv_sec) * 1e6 +
        u1.ru_utime.tv_usec - u0.ru_utime.tv_usec + u1.ru_stime.tv_usec - u0.ru_stime.tv_usec;
    if (print)
        printf(
            "{\"label\":\"%s\",\"kind\":\"rtp\",\"calls\":%d,\"dir\":\"%s\",\"rate\":%.0f,\"secs\":"
            "%.2f,\"sent_a\":%lu,\"sent_b\":%lu,\"rcvd_a2b\":%lu,\"rcvd_b2a\":%lu,\"loss\":%.5f,"
            "\"skipped\":%.0f,\"lat_us\":[%.1f,%.1f,%.1f],\"cpu_us_per_pkt\":%.3f,\"cpu_pct\":%.1f,"
            "\"self_us_per_pkt\":%.2f,\"rss_kb\":%ld,\"bad\":%lu,\"undecryptable\":%lu}\n",
            label, ncalls, dir, r, el, sent[0], sent[1], rcvd[0], rcvd[1],
            S ? 1 - (double)R / S : 1, skipped, pc(.5), pc(.99), pc(.999), R ? (b - a) / R : 0,
            (b - a) / el / 1e4, R ? self / R : 0, rss(), bad, undec);
    fflush(stdout);
}
int main(int argc, char **argv) {
    int o;
    const char *file = NULL;
    while ((o = getopt(argc, argv, "f:r:d:p:c:l:m:s:q:")) != -1)
        switch (o) {
        case 'f':
            file = optarg;
            break;
        case 'q':
            tick_us = atoi(optarg);
            break;
        case 'r':
            rate = atof(optarg);
            break;
        case 'd':
            secs = atof(optarg);
            break;
        case 'c':
            cpu = atoi(optarg);
            break;
        case 'l':
            label = optarg;
            break;
        case 'm':
            dir = optarg;
            break;
        case 's':
            payload = atoi(optarg);
            break;
        case 'p':
            for (char *s = strtok(optarg, ", "); s && npids < 64; s = strtok(NULL, ", "))
                pids[npids++] = atoi(s);
            break;
        default:
            fprintf(stderr, "rtpload -f calls [-r pps in all] [-d secs] [-m both|a2b|b2a] [-s "
                            "payload] [-q tick us] [-p pids] [-c cpu] [-l label]\n");
            return 1;
        }
    if (!file)
        return 1;
    if (secs > 120)
        secs = 120;
    alarm(300);
    prctl(PR_SET_TIMERSLACK, 1);
    if (cpu >= 0) {
        cpu_set_t s;
        CPU_ZERO(&s);
        CPU_SET(cpu, &s);
        sched_setaffinity(0, sizeof s, &s);
    }
    srtp_init();
    ssrc0 = (uint32_t)now_ns() & 0x7fff0000;
    ep = epoll_create1(0);
    FILE *f = fopen(file, "r");
    if (!f) {
        perror(file);
        return 1;
    }
    int ap, bp, ba, bb;
    char ip[64], k[4][64];
    E = calloc(40000, sizeof *E);
    capl = 8000000;
    lat = malloc(capl * 8);
    while (ncalls < 10000 && fscanf(f, "%d %d %63s %d %d %63s %63s %63s %63s", &ap, &bp, ip, &ba,
                                    &bb, k[0], k[1], k[2], k[3]) == 9) {
        for (int s = 0; s < 2; s++) {
            struct end *e = &E[2 * ncalls + s];
            e->fd = mksock(s ? bp : ap);
            e->to.sin_family = AF_INET;
            e->to.sin_port = htons(s ? bb : ba);
            inet_pton(AF_INET, ip, &e->to.sin_addr);
            e->tx = mk(k[2 * s], 0);
            e->rx = mk(k[2 * s + 1], 1);
            e->ssrc = ssrc0 + 2 * ncalls + s;
            e->seq = 1000;
            e->call = ncalls;
            e->side = s;
            struct epoll_event ev = {.events = EPOLLIN, .data.ptr = e};
            epoll_ctl(ep, EPOLL_CTL_ADD, e->fd, &ev);
        }
        ncalls++;
    }
    if (!ncalls)
        return 1;
    trial(rate, 1, 0);
    trial(rate, secs, 1);
    return 0;
}
