/*
 * turnload - TURN load generator (RFC 8656 / RFC 5766), loopback benchmark tool.
 *
 * N allocations with long-term credentials over UDP, TCP or TLS, one channel
 * (or permission) each to a local echo/sink peer, then ChannelData or
 * Send/Data indications at a fixed offered rate.  Reports, one JSON object per
 * line: delivered packets each way, loss, latency percentiles, the server's
 * CPU time per relayed packet (both directions counted), RSS per allocation.
 *
 * UDP clients share ONE socket bound to 0.0.0.0:port; each client is a distinct
 * 5-tuple because its packets leave from its own loopback source address
 * (IP_PKTINFO spec_dst = 127.64.0.1 + i).  That lets one sendmmsg()/recvmmsg()
 * serve any number of clients, so the generator costs no more than a relay.
 * With -B the peers are told apart in the same way: one socket, and a destination
 * 127.128.0.1 + i of its own for each client, as shared relay ports need it.
 *
 * Build: cc -O2 -Wall -o turnload turnload.c -lssl -lcrypto
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef SOL_UDP
#define SOL_UDP 17
#endif

#define MAGIC 0x2112A442u
#define PMAGIC 0x7475726eu /* "turn" */
#define BATCH 64
#define MAXPKT 2048
#define MAXPIDS 64

enum { T_UDP, T_TCP, T_TLS };
enum { M_ECHO, M_UP, M_DOWN, M_ALLOC, M_IDLE };
enum { ST_NEW, ST_ALLOC, ST_PERM, ST_CHAN, ST_READY, ST_REL, ST_DONE, ST_FAIL };

struct client {
    int st, tries, code;
    uint32_t gen;
    uint64_t t_last, t_start;
    uint16_t chan;
    struct sockaddr_in src, relay, peer;
    char nonce[256];
    int nlen;
    int fd;
    SSL *ssl;
    uint8_t *rb;
    int rlen;
    uint8_t *wb;
    int wlen;
    uint32_t seq;
};

static const char *host = "127.0.0.1", *user = "user", *pass = "pass", *peerip = "127.0.0.1";
static int port = 3478, transport = T_UDP, mode = M_ECHO, use_ind = 0, nclients = 10, psize = 172;
static int window = 32, train = 1, tick_us = 200, cpu = -1, keep = 0;
static int own_peers = 0, shared_ports = 0;
static double rate = 10000, dur = 5, search_lo = 0, search_hi = 0;
static const char *label = "";
static int pids[MAXPIDS], npids = 0;
static struct sockaddr_in srv, peer;
static struct client *C;
static int cfd = -1, pfd = -1, ep = -1;
static SSL_CTX *sctx;
static char realm[256];
static int rlen_;
static uint8_t key[16];
static int have_key;
static uint64_t setup_rtx, bad_chan, bad_src, stray, alloc_err, tcp_full;
static volatile int stop_flag;

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static void die(const char *m) {
    perror(m);
    exit(2);
}
static void on_sig(int s) {
    (void)s;
    stop_flag = 1;
}

/* ---------------------------------------------------------------- histogram */
#define HB 2048
struct hist {
    uint64_t n, b[HB];
    uint64_t max;
};
static inline int hidx(uint64_t us10) { /* unit 0.1us, ~1.5% log-linear buckets (64 per octave) */
    if (us10 < 64) return us10;
    int l = 63 - __builtin_clzll(us10);
    int i = (l - 5) * 64 + (int)((us10 >> (l - 6)) & 63);
    return i >= HB ? HB - 1 : i;
}
static uint64_t hval(int i) {
    if (i < 64) return i;
    int l = i / 64 + 5;
    return (1ull << l) + ((uint64_t)(i % 64) << (l - 6));
}
static inline void hadd(struct hist *h, uint64_t ns) {
    uint64_t v = ns / 100;
    h->n++;
    h->b[hidx(v)]++;
    if (v > h->max) h->max = v;
}
static double hpct(struct hist *h, double p) {
    if (!h->n) return 0;
    uint64_t want = (uint64_t)(h->n * p), c = 0;
    for (int i = 0; i < HB; i++) {
        c += h->b[i];
        if (c > want) return hval(i) / 10.0;
    }
    return h->max / 10.0;
}

/* ---------------------------------------------------------------- server CPU */
struct cpu {
    double run_us, ut_us, st_us;
    long rss_kb;
    long ctxv, ctxn;
};
static void read_cpu(struct cpu *o) {
    memset(o, 0, sizeof *o);
    long hz = sysconf(_SC_CLK_TCK);
    for (int i = 0; i < npids; i++) {
        char p[512], buf[4096];
        FILE *f;
        snprintf(p, sizeof p, "/proc/%d/task", pids[i]);
        DIR *d = opendir(p);
        if (d) {
            struct dirent *e;
            while ((e = readdir(d))) {
                if (e->d_name[0] == '.') continue;
                snprintf(p, sizeof p, "/proc/%d/task/%s/schedstat", pids[i], e->d_name);
                if ((f = fopen(p, "r"))) {
                    unsigned long long a = 0;
                    if (fscanf(f, "%llu", &a) == 1) o->run_us += a / 1000.0;
                    fclose(f);
                }
                snprintf(p, sizeof p, "/proc/%d/task/%s/status", pids[i], e->d_name);
                if ((f = fopen(p, "r"))) {
                    while (fgets(buf, sizeof buf, f)) {
                        long v;
                        if (sscanf(buf, "voluntary_ctxt_switches: %ld", &v) == 1)
                            o->ctxv += v;
                        else if (sscanf(buf, "nonvoluntary_ctxt_switches: %ld", &v) == 1)
                            o->ctxn += v;
                    }
                    fclose(f);
                }
            }
            closedir(d);
        }
        snprintf(p, sizeof p, "/proc/%d/stat", pids[i]);
        if ((f = fopen(p, "r"))) {
            size_t n = fread(buf, 1, sizeof buf - 1, f);
            buf[n] = 0;
            fclose(f);
            char *q = strrchr(buf, ')');
            unsigned long ut = 0, st = 0;
            if (q && sscanf(q + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &ut,
                            &st) == 2) {
                o->ut_us += ut * 1e6 / hz;
                o->st_us += st * 1e6 / hz;
            }
        }
        snprintf(p, sizeof p, "/proc/%d/status", pids[i]);
        if ((f = fopen(p, "r"))) {
            while (fgets(buf, sizeof buf, f)) {
                long k;
                if (sscanf(buf, "VmRSS: %ld", &k) == 1) o->rss_kb += k;
            }
            fclose(f);
        }
    }
}
static double self_us(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec * 1e6 + r.ru_utime.tv_usec + r.ru_stime.tv_sec * 1e6 +
           r.ru_stime.tv_usec;
}

/* ---------------------------------------------------------------- STUN */
static void p16(uint8_t *b, unsigned v) {
    b[0] = v >> 8;
    b[1] = v;
}
static void p32(uint8_t *b, uint32_t v) {
    b[0] = v >> 24;
    b[1] = v >> 16;
    b[2] = v >> 8;
    b[3] = v;
}
static unsigned g16(const uint8_t *b) { return b[0] << 8 | b[1]; }
static uint32_t g32(const uint8_t *b) {
    return (uint32_t)b[0] << 24 | b[1] << 16 | b[2] << 8 | b[3];
}
static int st_begin(uint8_t *b, int type, int idx, uint32_t gen) {
    p16(b, type);
    p16(b + 2, 0);
    p32(b + 4, MAGIC);
    p32(b + 8, idx);
    p32(b + 12, gen);
    p32(b + 16, 0x6c6f6164);
    return 20;
}
static int st_attr(uint8_t *b, int n, int t, const void *v, int l) {
    p16(b + n, t);
    p16(b + n + 2, l);
    memcpy(b + n + 4, v, l);
    int pad = (4 - (l & 3)) & 3;
    memset(b + n + 4 + l, 0, pad);
    n += 4 + l + pad;
    p16(b + 2, n - 20);
    return n;
}
static int st_addr(uint8_t *b, int n, int t, struct sockaddr_in *a) {
    uint8_t v[8] = {0, 1};
    p16(v + 2, ntohs(a->sin_port) ^ (MAGIC >> 16));
    p32(v + 4, ntohl(a->sin_addr.s_addr) ^ MAGIC);
    return st_attr(b, n, t, v, 8);
}
static int st_auth(uint8_t *b, int n, struct client *c) {
    n = st_attr(b, n, 0x0006, user, strlen(user));
    n = st_attr(b, n, 0x0014, realm, rlen_);
    n = st_attr(b, n, 0x0015, c->nonce, c->nlen);
    p16(b + 2, n - 20 + 24);
    uint8_t mac[20];
    unsigned ml = 20;
    HMAC(EVP_sha1(), key, 16, b, n, mac, &ml);
    return st_attr(b, n, 0x0008, mac, 20);
}
static void set_key(const char *r, int l) {
    if (have_key && l == rlen_ && !memcmp(r, realm, l)) return;
    memcpy(realm, r, l);
    rlen_ = l;
    have_key = 1;
    EVP_MD_CTX *m = EVP_MD_CTX_new();
    unsigned kl = 16;
    EVP_DigestInit_ex(m, EVP_md5(), NULL);
    EVP_DigestUpdate(m, user, strlen(user));
    EVP_DigestUpdate(m, ":", 1);
    EVP_DigestUpdate(m, realm, l);
    EVP_DigestUpdate(m, ":", 1);
    EVP_DigestUpdate(m, pass, strlen(pass));
    EVP_DigestFinal_ex(m, key, &kl);
    EVP_MD_CTX_free(m);
}

/* ---------------------------------------------------------------- client IO */
static void fill_pktinfo(struct msghdr *m, char *cb, struct sockaddr_in *src, int gso) {
    m->msg_control = cb;
    m->msg_controllen =
        CMSG_SPACE(sizeof(struct in_pktinfo)) + (gso ? CMSG_SPACE(sizeof(uint16_t)) : 0);
    struct cmsghdr *h = CMSG_FIRSTHDR(m);
    h->cmsg_level = IPPROTO_IP;
    h->cmsg_type = IP_PKTINFO;
    h->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    struct in_pktinfo pi = {0};
    pi.ipi_spec_dst = src->sin_addr;
    memcpy(CMSG_DATA(h), &pi, sizeof pi);
    if (gso) {
        h = CMSG_NXTHDR(m, h);
        h->cmsg_level = SOL_UDP;
        h->cmsg_type = UDP_SEGMENT;
        h->cmsg_len = CMSG_LEN(sizeof(uint16_t));
        uint16_t g = gso;
        memcpy(CMSG_DATA(h), &g, 2);
    }
}
static void tcp_flush(struct client *c) {
    while (c->wlen) {
        int r;
        if (c->ssl) {
            r = SSL_write(c->ssl, c->wb, c->wlen);
            if (r <= 0) return;
        } else {
            r = send(c->fd, c->wb, c->wlen, MSG_NOSIGNAL);
            if (r <= 0) return;
        }
        memmove(c->wb, c->wb + r, c->wlen - r);
        c->wlen -= r;
    }
}
#define WBMAX 65536
#define RBMAX 65536
static int tcp_put(struct client *c, const uint8_t *b, int n) {
    if (c->wlen + n + 3 > WBMAX) {
        tcp_flush(c);
        if (c->wlen + n + 3 > WBMAX) {
            tcp_full++;
            return 0;
        }
    }
    memcpy(c->wb + c->wlen, b, n);
    c->wlen += n;
    while (n & 3) {
        c->wb[c->wlen++] = 0;
        n++;
    }
    return 1;
}
static void ctl_send(struct client *c, const uint8_t *b, int n) {
    if (transport == T_UDP) {
        struct msghdr m = {0};
        struct iovec v = {(void *)b, n};
        char cb[128] = {0};
        m.msg_name = &srv;
        m.msg_namelen = sizeof srv;
        m.msg_iov = &v;
        m.msg_iovlen = 1;
        fill_pktinfo(&m, cb, &c->src, 0);
        sendmsg(cfd, &m, 0);
    } else {
        tcp_put(c, b, n);
        tcp_flush(c);
    }
}
static void step(struct client *c) { /* send the request of the current state */
    uint8_t b[1024];
    int n, i = c - C;
    switch (c->st) {
    case ST_ALLOC: {
        n = st_begin(b, 0x0003, i, c->gen);
        uint8_t rt[4] = {17, 0, 0, 0};
        n = st_attr(b, n, 0x0019, rt, 4);
        uint8_t lt[4];
        p32(lt, 600);
        n = st_attr(b, n, 0x000d, lt, 4);
        if (c->nlen) n = st_auth(b, n, c);
        break;
    }
    case ST_PERM:
        n = st_begin(b, 0x0008, i, c->gen);
        n = st_addr(b, n, 0x0012, &c->peer);
        n = st_auth(b, n, c);
        break;
    case ST_CHAN: {
        n = st_begin(b, 0x0009, i, c->gen);
        uint8_t ch[4] = {0};
        p16(ch, c->chan);
        n = st_attr(b, n, 0x000c, ch, 4);
        n = st_addr(b, n, 0x0012, &c->peer);
        n = st_auth(b, n, c);
        break;
    }
    case ST_REL: {
        n = st_begin(b, 0x0004, i, c->gen);
        uint8_t lt[4] = {0};
        n = st_attr(b, n, 0x000d, lt, 4);
        n = st_auth(b, n, c);
        break;
    }
    default: return;
    }
    c->t_last = now_ns();
    ctl_send(c, b, n);
}
static uint8_t is_relay_port[65536];
static int relay_ports; /* different ones that the server has told */
static void note_relay_port(const struct client *c) {
    uint8_t *told = &is_relay_port[ntohs(c->relay.sin_port)];
    relay_ports += !*told;
    *told = 1;
}
/* Whether what a peer got came from where it may: the client's own port, or any shared one. */
static int from_relay(const struct client *c, const struct sockaddr_in *from) {
    if (shared_ports) return is_relay_port[ntohs(from->sin_port)];
    return from->sin_port == c->relay.sin_port;
}
static int settled; /* clients that reached the goal of this phase */
static void on_stun(struct client *c, const uint8_t *b, int n) {
    int type = g16(b), err = 0;
    const char *rl = NULL, *no = NULL;
    int rll = 0, nol = 0;
    if (g32(b + 12) != c->gen) return; /* late answer to an older transaction */
    for (int o = 20; o + 4 <= n;) {
        int t = g16(b + o), l = g16(b + o + 2);
        if (o + 4 + l > n) break;
        const uint8_t *v = b + o + 4;
        if (t == 0x0009 && l >= 4)
            err = v[2] * 100 + v[3];
        else if (t == 0x0014) {
            rl = (const char *)v;
            rll = l;
        } else if (t == 0x0015) {
            no = (const char *)v;
            nol = l;
        } else if (t == 0x0016 && l == 8) {
            c->relay.sin_family = AF_INET;
            c->relay.sin_port = htons(g16(v + 2) ^ (MAGIC >> 16));
            c->relay.sin_addr.s_addr = htonl(g32(v + 4) ^ MAGIC);
        }
        o += 4 + l + ((4 - (l & 3)) & 3);
    }
    if ((type & 0x0110) == 0x0110) {
        if ((err == 401 || err == 438) && no && nol < (int)sizeof c->nonce && c->tries < 8) {
            if (err == 401 && c->nlen) {
                c->st = ST_FAIL;
                c->code = err;
                alloc_err++;
                settled++;
                return;
            }
            if (rl && rll < (int)sizeof realm) set_key(rl, rll);
            memcpy(c->nonce, no, nol);
            c->nlen = nol;
            c->gen++;
            c->tries++;
            step(c);
            return;
        }
        c->st = ST_FAIL;
        c->code = err;
        alloc_err++;
        settled++;
        return;
    }
    if ((type & 0x0110) != 0x0100) return;
    c->gen++;
    c->tries = 0;
    switch (c->st) {
    case ST_ALLOC:
        note_relay_port(c);
        if (mode == M_ALLOC || mode == M_IDLE) {
            c->st = ST_READY;
            settled++;
            return;
        }
        c->st = use_ind ? ST_PERM : ST_CHAN;
        step(c);
        break;
    case ST_PERM:
    case ST_CHAN:
        c->st = ST_READY;
        settled++;
        break;
    case ST_REL:
        c->st = ST_DONE;
        settled++;
        break;
    }
}

/* ---------------------------------------------------------------- data path */
struct trial {
    uint64_t offered, up_sent, up_rcvd, down_sent, down_rcvd, skipped;
    struct hist ow, rtt; /* up one-way (or down one-way in M_DOWN), echo round trip */
};
static struct trial *T;
static uint32_t epoch; /* trial number: packets of an older trial are ignored */

static void put_payload(uint8_t *p, int idx, uint32_t seq, uint64_t ts) {
    p32(p, PMAGIC);
    p32(p + 4, idx);
    p32(p + 8, seq);
    p32(p + 12, epoch);
    memcpy(p + 16, &ts, 8);
}
static inline void on_down(const uint8_t *p, int n, struct client *via, int chan) {
    if (n < 24 || g32(p) != PMAGIC) {
        stray++;
        return;
    }
    uint32_t i = g32(p + 4);
    if (i >= (uint32_t)nclients) {
        stray++;
        return;
    }
    if (!T || g32(p + 12) != epoch) return;
    if ((via && via != &C[i]) || (chan && chan != C[i].chan)) bad_chan++;
    uint64_t ts;
    memcpy(&ts, p + 16, 8);
    T->down_rcvd++;
    hadd(mode == M_DOWN ? &T->ow : &T->rtt, now_ns() - ts);
}
static void on_client_msg(const uint8_t *b, int n, struct client *via) {
    if (n < 4) return;
    if (b[0] >= 0x40 && b[0] <= 0x7f) {
        on_down(b + 4, g16(b + 2), via, g16(b));
        return;
    }
    if (n < 20) return;
    if (g16(b) == 0x0017) { /* Data indication */
        for (int o = 20; o + 4 <= n;) {
            int t = g16(b + o), l = g16(b + o + 2);
            if (o + 4 + l > n) break;
            if (t == 0x0013) {
                on_down(b + o + 4, l, via, 0);
                return;
            }
            o += 4 + l + ((4 - (l & 3)) & 3);
        }
        return;
    }
    uint32_t i = g32(b + 8);
    if (i < (uint32_t)nclients) on_stun(&C[i], b, n);
}
static struct mmsghdr crx[BATCH], prx[BATCH], ptx[BATCH];
static struct iovec crv[BATCH], prv[BATCH], ptv[BATCH];
static _Alignas(struct cmsghdr) char prc[BATCH][64];
static struct sockaddr_in pra[BATCH];
static uint8_t crb[BATCH][MAXPKT], prb[BATCH][MAXPKT];
static int drain_cli_udp(void) {
    int r = recvmmsg(cfd, crx, BATCH, MSG_DONTWAIT, NULL);
    for (int i = 0; i < r; i++)
        on_client_msg(crb[i], crx[i].msg_len, NULL);
    return r > 0 ? r : 0;
}
static void drain_cli_tcp(struct client *c) {
    for (;;) {
        int r;
        if (c->ssl)
            r = SSL_read(c->ssl, c->rb + c->rlen, RBMAX - c->rlen);
        else
            r = recv(c->fd, c->rb + c->rlen, RBMAX - c->rlen, MSG_DONTWAIT);
        if (r <= 0) {
            if (r == 0 || (!c->ssl && errno != EAGAIN)) {
                if (c->fd >= 0 && r == 0) {
                    epoll_ctl(ep, EPOLL_CTL_DEL, c->fd, NULL);
                }
            }
            break;
        }
        c->rlen += r;
        int o = 0;
        while (c->rlen - o >= 4) {
            uint8_t *b = c->rb + o;
            int l;
            if (b[0] >= 0x40) {
                l = 4 + ((g16(b + 2) + 3) & ~3);
            } else {
                l = 20 + g16(b + 2);
            }
            if (c->rlen - o < l) break;
            on_client_msg(b, l, c);
            o += l;
        }
        if (o) {
            memmove(c->rb, c->rb + o, c->rlen - o);
            c->rlen -= o;
        }
        if (!c->ssl && c->rlen == 0 && r < 4096) break;
    }
    if (c->wlen) tcp_flush(c);
}
/* The address that a packet was sent to, of the control message that came with it; 0 for none. */
static uint32_t sent_to(struct msghdr *m) {
    struct cmsghdr *h = CMSG_FIRSTHDR(m);
    struct in_pktinfo pi;
    if (!h || h->cmsg_level != IPPROTO_IP || h->cmsg_type != IP_PKTINFO) return 0;
    memcpy(&pi, CMSG_DATA(h), sizeof pi);
    return pi.ipi_addr.s_addr;
}
/* Count what a peer got; the client it came from, or NULL for what is not of this trial. */
static struct client *on_up(int i, uint64_t t) {
    uint8_t *p = prb[i];
    uint32_t ix = g32(p + 4);
    if (prx[i].msg_len < 24 || g32(p) != PMAGIC || ix >= (uint32_t)nclients) {
        stray++;
        return NULL;
    }
    struct client *c = &C[ix];
    if (!T || g32(p + 12) != epoch) return NULL;
    if (!from_relay(c, &pra[i])) bad_src++;
    if (own_peers && sent_to(&prx[i].msg_hdr) != c->peer.sin_addr.s_addr) bad_src++;
    uint64_t ts;
    memcpy(&ts, p + 16, 8);
    T->up_rcvd++;
    hadd(&T->ow, t - ts);
    return c;
}
static int send_all(int fd, struct mmsghdr *m, int count) {
    int s = 0;
    while (s < count) {
        int w = sendmmsg(fd, m + s, count - s, 0);
        if (w <= 0) {
            if (errno == EINTR) continue;
            break;
        }
        s += w;
    }
    return s;
}
static int drain_peer(void) {
    for (int i = 0; i < BATCH; i++) {
        prx[i].msg_hdr.msg_namelen = sizeof pra[0];
        prx[i].msg_hdr.msg_control = own_peers ? prc[i] : NULL;
        prx[i].msg_hdr.msg_controllen = own_peers ? sizeof prc[i] : 0;
    }
    int r = recvmmsg(pfd, prx, BATCH, MSG_DONTWAIT, NULL), k = 0;
    uint64_t t = now_ns();
    for (int i = 0; i < r; i++) {
        struct client *c = on_up(i, t);
        if (!c || mode != M_ECHO) continue;
        ptv[k] = (struct iovec){prb[i], prx[i].msg_len};
        struct msghdr *m = &ptx[k++].msg_hdr;
        *m = (struct msghdr){
            .msg_name = &pra[i], .msg_namelen = sizeof pra[i], .msg_iov = &ptv[k - 1], .msg_iovlen = 1};
        if (own_peers) fill_pktinfo(m, prc[i], &c->peer, 0);
    }
    if (k) T->down_sent += send_all(pfd, ptx, k);
    return r > 0 ? r : 0;
}
static struct mmsghdr tx[BATCH];
static struct iovec txv[BATCH];
static uint8_t *txb[BATCH];
static char txc[BATCH][128];
static int rr;
static int build(uint8_t *b, int i,
                 uint64_t ts) { /* one client->server data packet; returns length */
    struct client *c = &C[i];
    if (!use_ind) {
        p16(b, c->chan);
        p16(b + 2, psize);
        put_payload(b + 4, i, c->seq++, ts);
        return 4 + psize;
    }
    int pad = (psize + 3) & ~3;
    p16(b, 0x0016);
    p16(b + 2, 12 + 4 + pad);
    p32(b + 4, MAGIC);
    p32(b + 8, i);
    p32(b + 12, 0x5e5e5e5e);
    p32(b + 16, c->seq);
    p16(b + 20, 0x0012);
    p16(b + 22, 8);
    p16(b + 24, 1);
    p16(b + 26, ntohs(c->peer.sin_port) ^ (MAGIC >> 16));
    p32(b + 28, ntohl(c->peer.sin_addr.s_addr) ^ MAGIC);
    p16(b + 32, 0x0013);
    p16(b + 34, psize);
    put_payload(b + 36, i, c->seq++, ts);
    return 36 + pad;
}
static int next_ready(void) {
    for (int k = 0; k < nclients; k++) {
        rr = rr + 1 >= nclients ? 0 : rr + 1;
        if (C[rr].st == ST_READY) return rr;
    }
    return -1;
}
static void send_due(int due) {
    while (due > 0) {
        uint64_t ts = now_ns();
        if (mode == M_DOWN) {
            int k = 0;
            for (; k < BATCH && k < due; k++) {
                int i = next_ready();
                if (i < 0) return;
                put_payload(txb[k], i, C[i].seq++, ts);
                txv[k].iov_len = psize;
                tx[k].msg_hdr.msg_name = &C[i].relay;
                tx[k].msg_hdr.msg_namelen = sizeof srv;
                tx[k].msg_hdr.msg_control = NULL;
                tx[k].msg_hdr.msg_controllen = 0;
                if (own_peers) fill_pktinfo(&tx[k].msg_hdr, txc[k], &C[i].peer, 0);
            }
            int s = send_all(pfd, tx, k);
            T->offered += k;
            T->down_sent += s;
            due -= k;
        } else if (transport == T_UDP) {
            int k = 0, pk = 0, cnt[BATCH];
            for (; k < BATCH && pk < due; k++) {
                int i = next_ready();
                if (i < 0) return;
                int n = 0, q = 0, one = 0;
                for (; q < train && pk < due; q++, pk++) {
                    one = build(txb[k] + n, i, ts);
                    n += one;
                }
                cnt[k] = q;
                txv[k].iov_len = n;
                tx[k].msg_hdr.msg_name = &srv;
                tx[k].msg_hdr.msg_namelen = sizeof srv;
                fill_pktinfo(&tx[k].msg_hdr, txc[k], &C[i].src, q > 1 ? one : 0);
            }
            int s = send_all(cfd, tx, k), sp = 0;
            for (int j = 0; j < s; j++)
                sp += cnt[j];
            T->offered += pk;
            T->up_sent += sp;
            due -= pk;
        } else {
            int i = next_ready();
            if (i < 0) return;
            uint8_t b[MAXPKT];
            memset(b, 0x55, 4 + psize);
            int q = 0;
            for (; q < train && due > 0; q++, due--) {
                int n = build(b, i, ts);
                T->offered++;
                if (tcp_put(&C[i], b, n)) T->up_sent++;
            }
            tcp_flush(&C[i]);
        }
    }
}
static int poll_io(int timeout_us) {
    int got = 0;
    if (transport == T_UDP) {
        if (timeout_us > 0) {
            struct pollfd p[2] = {{pfd, POLLIN, 0}, {cfd, POLLIN, 0}};
            struct timespec t = {timeout_us / 1000000, (timeout_us % 1000000) * 1000L};
            if (ppoll(p, 2, &t, NULL) <= 0) return 0;
        }
        for (int k = 0; k < 4; k++) {
            int r = drain_peer();
            got += r;
            if (r < BATCH) break;
        }
        for (int k = 0; k < 4; k++) {
            int r = drain_cli_udp();
            got += r;
            if (r < BATCH) break;
        }
    } else {
        struct epoll_event ev[256];
        struct timespec t = {timeout_us / 1000000, (timeout_us % 1000000) * 1000L};
        int r = epoll_pwait2(ep, ev, 256, &t, NULL);
        for (int i = 0; i < r; i++) {
            got++;
            if (ev[i].data.ptr == NULL) {
                for (int k = 0; k < 4; k++)
                    if (drain_peer() < BATCH) break;
            } else
                drain_cli_tcp(ev[i].data.ptr);
        }
    }
    return got;
}
/* returns loss fraction */
static double run_trial(double r, double secs, const char *kind, int print) {
    static struct trial tt;
    memset(&tt, 0, sizeof tt);
    T = &tt;
    epoch++;
    struct cpu a, b;
    read_cpu(&a);
    double sa = self_us();
    uint64_t t0 = now_ns(), end = t0 + (uint64_t)(secs * 1e9), tend;
    double cap = r * 0.02 + 64;
    double sched = 0; /* packets the schedule has asked for and we took or skipped */
    uint64_t lastsend = 0;
    while (!stop_flag) {
        uint64_t t = now_ns();
        if (t >= end) break;
        double want = (t - t0) / 1e9 * r;
        int due = (int)(want - sched);
        due -= due % train; /* a train that a tick cuts in two is none */
        if (due > 0 && (t - lastsend) >= (uint64_t)tick_us * 1000) {
            if (due > cap) {
                int most = (int)cap - (int)cap % train;
                T->skipped += due - most;
                sched += due - most;
                due = most;
            }
            sched += due;
            lastsend = t;
            send_due(due);
        }
        if (!poll_io(0)) {
            uint64_t nx = lastsend + (uint64_t)tick_us * 1000, n2 = now_ns();
            int w = nx > n2 ? (nx - n2) / 1000 : 1;
            if (w < 1) w = 1;
            double nextpkt = (sched + train) / r * 1e6 - (n2 - t0) / 1e3;
            if (nextpkt > w) w = nextpkt > 100000 ? 100000 : nextpkt;
            poll_io(w);
        }
    }
    tend = now_ns();
    uint64_t quiet = now_ns();
    uint64_t in_time = 0;
    int snapped =
        0; /* what came back within 200 ms of the end: a search must not pass on queues alone */
    while (now_ns() - quiet < 300000000ull && now_ns() - tend < 2000000000ull) {
        if (!snapped && now_ns() - tend > 200000000ull) {
            in_time = mode == M_UP ? tt.up_rcvd : tt.down_rcvd;
            snapped = 1;
        }
        if (poll_io(20000)) quiet = now_ns();
    }
    read_cpu(&b);
    double sb = self_us();
    double el = (tend - t0) / 1e9;
    uint64_t relayed = tt.up_rcvd + tt.down_rcvd;
    uint64_t sent = mode == M_DOWN ? tt.down_sent : tt.offered,
             back = mode == M_UP ? tt.up_rcvd : tt.down_rcvd;
    double loss = sent ? 1.0 - (double)back / sent : 1.0;
    if (loss < 0) loss = 0;
    double cpu_us = b.run_us - a.run_us;
    if (print) {
        printf("{\"label\":\"%s\",\"kind\":\"%s\",\"mode\":\"%s\",\"data\":\"%s\",\"leg\":\"%s\","
               "\"n\":%d,\"size\":%d,\"train\":%d,\"tick_us\":%d,\"rate\":%.0f,\"secs\":%.2f,",
               label, kind,
               mode == M_ECHO ? "echo"
               : mode == M_UP ? "up"
                              : "down",
               use_ind ? "ind" : "chan",
               transport == T_UDP   ? "udp"
               : transport == T_TCP ? "tcp"
                                    : "tls",
               nclients, psize, train, tick_us, r, el);
        printf("\"offered\":%llu,\"skipped\":%llu,\"up_rcvd\":%llu,\"down_sent\":%llu,\"down_"
               "rcvd\":%llu,\"relayed_pps\":%.0f,\"loss\":%.5f,",
               (unsigned long long)tt.offered, (unsigned long long)tt.skipped,
               (unsigned long long)tt.up_rcvd, (unsigned long long)tt.down_sent,
               (unsigned long long)tt.down_rcvd, relayed / el, loss);
        printf("\"ow_us\":[%.1f,%.1f,%.1f,%.1f],\"rtt_us\":[%.1f,%.1f,%.1f,%.1f],",
               hpct(&tt.ow, .5), hpct(&tt.ow, .99), hpct(&tt.ow, .999), tt.ow.max / 10.0,
               hpct(&tt.rtt, .5), hpct(&tt.rtt, .99), hpct(&tt.rtt, .999), tt.rtt.max / 10.0);
        printf("\"cpu_us_per_pkt\":%.3f,\"cpu_pct\":%.1f,\"user_frac\":%.3f,\"ctxsw_per_pkt\":%.4f,"
               "\"self_us_per_pkt\":%.3f,\"rss_kb\":%ld,\"bad_chan\":%llu,\"bad_src\":%llu,"
               "\"stray\":%llu,\"tcp_full\":%llu}\n",
               relayed ? cpu_us / relayed : 0, cpu_us / el / 1e4,
               (b.ut_us - a.ut_us) / ((b.ut_us - a.ut_us) + (b.st_us - a.st_us) + 1e-9),
               relayed ? (double)(b.ctxv - a.ctxv) / relayed : 0, relayed ? (sb - sa) / relayed : 0,
               b.rss_kb, (unsigned long long)bad_chan, (unsigned long long)bad_src,
               (unsigned long long)stray, (unsigned long long)tcp_full);
        fflush(stdout);
    }
    T = NULL;
    double late = snapped && back > in_time && sent ? (double)(back - in_time) / sent : 0;
    /* "did we really offer it": skipped more than 2% counts as a failed trial */
    if (tt.skipped > 0.02 * (tt.offered + tt.skipped)) return loss > 0.02 ? loss : 0.02 + loss;
    return loss + late;
}

/* ---------------------------------------------------------------- phases */
static void open_conn(struct client *c) {
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0) die("socket");
    int one = 1;
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in s = c->src;
    s.sin_port = 0;
    if (bind(c->fd, (void *)&s, sizeof s)) die("bind");
    if (connect(c->fd, (void *)&srv, sizeof srv)) die("connect");
    c->rb = malloc(RBMAX);
    c->wb = malloc(WBMAX);
    if (transport == T_TLS) {
        c->ssl = SSL_new(sctx);
        SSL_set_fd(c->ssl, c->fd);
        if (SSL_connect(c->ssl) != 1) {
            ERR_print_errors_fp(stderr);
            exit(2);
        }
    }
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e);
}
/* drive clients [0,n) from state NEW (or READY for release) to their goal, window outstanding */
static int drive(int release, double limit_s, struct hist *lat) {
    int next = 0;
    settled = 0;
    int started = 0;
    uint64_t t0 = now_ns();
    int *act = malloc(sizeof(int) * window);
    int na = 0;
    while (!stop_flag && (now_ns() - t0) / 1e9 < limit_s) {
        while (na < window && next < nclients) {
            struct client *c = &C[next];
            if (release && c->st != ST_READY) {
                next++;
                continue;
            }
            if (!release && transport != T_UDP && c->fd < 0) open_conn(c);
            c->st = release ? ST_REL : ST_ALLOC;
            c->gen++;
            c->tries = 0;
            c->t_start = now_ns();
            act[na++] = next++;
            started++;
            step(c);
        }
        if (!na) break;
        poll_io(2000);
        uint64_t t = now_ns();
        for (int k = 0; k < na;) {
            struct client *c = &C[act[k]];
            if (c->st == ST_FAIL || c->st == (release ? ST_DONE : ST_READY)) {
                if (lat) hadd(lat, t - c->t_start);
                act[k] = act[--na];
                continue;
            }
            if (transport == T_UDP && t - c->t_last > 500000000ull) {
                if (c->tries++ > 7) {
                    c->st = ST_FAIL;
                    c->code = -1;
                    alloc_err++;
                    continue;
                }
                setup_rtx++;
                step(c);
            }
            k++;
        }
    }
    free(act);
    return settled;
}
/* The suite agreed on with the first client, as TLS numbers it; 0 without TLS. */
static int tls_suite(void) {
    const SSL_CIPHER *suite = C[0].ssl ? SSL_get_current_cipher(C[0].ssl) : NULL;
    return suite ? SSL_CIPHER_get_protocol_id(suite) : 0;
}
static void open_peer(void) {
    int one = 1;
    pfd = socket(AF_INET, SOCK_DGRAM, 0);
    peer.sin_family = AF_INET;
    if (inet_pton(AF_INET, own_peers ? "0.0.0.0" : peerip, &peer.sin_addr) != 1) die("peer");
    if (bind(pfd, (void *)&peer, sizeof peer)) die("bind peer");
    socklen_t sl = sizeof peer;
    getsockname(pfd, (void *)&peer, &sl);
    if (own_peers && setsockopt(pfd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one)) die("pktinfo");
}
static void usage(void) {
    fprintf(stderr,
            "turnload [options]\n"
            "  -H host  -P port  -u user  -w password  server and long-term credentials\n"
            "  -t udp|tcp|tls      client leg                              (udp)\n"
            "  -m echo|up|down|alloc|idle   what to do                     (echo)\n"
            "  -i                  Send/Data indications instead of ChannelData\n"
            "  -n N                allocations                             (10)\n"
            "  -s bytes            payload size                            (172)\n"
            "  -r pps              offered rate, packets/s in all (echo relays 2x)  (10000)\n"
            "  -d secs             measured time, at most 120              (5)\n"
            "  -T k                trains of k packets per allocation (GSO on UDP)  (1)\n"
            "  -q us               sending tick                            (200)\n"
            "  -W n                outstanding requests while allocating   (32)\n"
            "  -S lo,hi            search the highest rate with loss <= 0.1%%, -d s per trial\n"
            "  -p pid[,pid...]     server PIDs to read CPU time and RSS from\n"
            "  -c cpu              pin this generator                      (none)\n"
            "  -b ip               peer address                            (127.0.0.1)\n"
            "  -B                  a peer address for each client, 127.128.0.1 and up\n"
            "  -M                  the relay shares its ports: packets may come from any of them\n"
            "  -k                  keep allocations (no Refresh 0) at the end\n"
            "  -l label            label in the output\n");
    exit(1);
}
int main(int argc, char **argv) {
    int o;
    while ((o = getopt(argc, argv, "H:P:u:w:t:m:in:s:r:d:T:q:W:S:p:c:b:BMkl:h")) != -1)
        switch (o) {
        case 'H': host = optarg; break;
        case 'P': port = atoi(optarg); break;
        case 'u': user = optarg; break;
        case 'w': pass = optarg; break;
        case 't':
            transport = !strcmp(optarg, "tcp") ? T_TCP : !strcmp(optarg, "tls") ? T_TLS : T_UDP;
            break;
        case 'm':
            mode = !strcmp(optarg, "up")      ? M_UP
                   : !strcmp(optarg, "down")  ? M_DOWN
                   : !strcmp(optarg, "alloc") ? M_ALLOC
                   : !strcmp(optarg, "idle")  ? M_IDLE
                                              : M_ECHO;
            break;
        case 'i': use_ind = 1; break;
        case 'n': nclients = atoi(optarg); break;
        case 's': psize = atoi(optarg); break;
        case 'r': rate = atof(optarg); break;
        case 'd': dur = atof(optarg); break;
        case 'T': train = atoi(optarg); break;
        case 'q': tick_us = atoi(optarg); break;
        case 'W': window = atoi(optarg); break;
        case 'S':
            if (sscanf(optarg, "%lf,%lf", &search_lo, &search_hi) != 2) usage();
            break;
        case 'p':
            for (char *s = strtok(optarg, ", "); s && npids < MAXPIDS; s = strtok(NULL, ", "))
                pids[npids++] = atoi(s);
            break;
        case 'c': cpu = atoi(optarg); break;
        case 'b': peerip = optarg; break;
        case 'B': own_peers = 1; break;
        case 'M': shared_ports = 1; break;
        case 'k': keep = 1; break;
        case 'l': label = optarg; break;
        default: usage();
        }
    if (psize < 24 || psize > 1500 || nclients < 1 || nclients > 100000 || train < 1 || train > 40)
        usage();
    if (dur > 120) dur = 120;
    signal(SIGINT, on_sig);
    signal(SIGTERM, on_sig);
    signal(SIGPIPE, SIG_IGN);
    alarm(600);
    prctl(PR_SET_TIMERSLACK, 1);
    if (cpu >= 0) {
        cpu_set_t s;
        CPU_ZERO(&s);
        CPU_SET(cpu, &s);
        sched_setaffinity(0, sizeof s, &s);
    }
    struct rlimit rl = {20000, 20000};
    getrlimit(RLIMIT_NOFILE, &rl);
    rl.rlim_cur = rl.rlim_max;
    setrlimit(RLIMIT_NOFILE, &rl);
    srv.sin_family = AF_INET;
    srv.sin_port = htons(port);
    if (inet_pton(AF_INET, host, &srv.sin_addr) != 1) die("host");
    int rb = 16 << 20;
    open_peer();
    setsockopt(pfd, SOL_SOCKET, SO_RCVBUFFORCE, &rb, sizeof rb);
    setsockopt(pfd, SOL_SOCKET, SO_SNDBUFFORCE, &rb, sizeof rb);
    if (transport == T_UDP) {
        cfd = socket(AF_INET, SOCK_DGRAM, 0);
        struct sockaddr_in any = {.sin_family = AF_INET};
        if (bind(cfd, (void *)&any, sizeof any)) die("bind client");
        setsockopt(cfd, SOL_SOCKET, SO_RCVBUFFORCE, &rb, sizeof rb);
        setsockopt(cfd, SOL_SOCKET, SO_SNDBUFFORCE, &rb, sizeof rb);
    } else {
        ep = epoll_create1(0);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = NULL};
        epoll_ctl(ep, EPOLL_CTL_ADD, pfd, &e);
        if (transport == T_TLS) {
            sctx = SSL_CTX_new(TLS_client_method());
            SSL_CTX_set_verify(sctx, SSL_VERIFY_NONE, NULL);
            SSL_CTX_set_mode(sctx,
                             SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
        }
    }
    C = calloc(nclients, sizeof *C);
    for (int i = 0; i < nclients; i++) {
        C[i].fd = -1;
        C[i].chan = 0x4000 + (i % 0x1000);
        C[i].src.sin_family = AF_INET;
        uint32_t own = i + (i / 254) * 2; /* so that the last byte is 1..254 */
        C[i].src.sin_addr.s_addr = htonl(0x7f400001u + own);
        C[i].peer = peer;
        if (own_peers) C[i].peer.sin_addr.s_addr = htonl(0x7f800001u + own);
    }
    for (int i = 0; i < BATCH; i++) {
        crv[i] = (struct iovec){crb[i], MAXPKT};
        crx[i].msg_hdr.msg_iov = &crv[i];
        crx[i].msg_hdr.msg_iovlen = 1;
        prv[i] = (struct iovec){prb[i], MAXPKT};
        prx[i].msg_hdr.msg_iov = &prv[i];
        prx[i].msg_hdr.msg_iovlen = 1;
        prx[i].msg_hdr.msg_name = &pra[i];
        prx[i].msg_hdr.msg_namelen = sizeof pra[i];
        txb[i] = malloc(65536 + 4096);
        memset(txb[i], 0x55, 65536 + 4096);
        txv[i] = (struct iovec){txb[i], 0};
        tx[i].msg_hdr.msg_iov = &txv[i];
        tx[i].msg_hdr.msg_iovlen = 1;
    }
    while (train > 1 && train * (psize + 40) > 65000)
        train--;

    struct cpu a, b;
    read_cpu(&a);
    uint64_t t0 = now_ns();
    static struct hist lat;
    if (transport != T_UDP)
        for (int i = 0; i < nclients && !stop_flag; i++)
            open_conn(&C[i]);
    struct cpu h;
    read_cpu(&h);
    uint64_t t1 = now_ns();
    int ok = drive(0, 120, &lat);
    uint64_t t2 = now_ns();
    usleep(50000);
    read_cpu(&b);
    int ready = 0, code = 0;
    for (int i = 0; i < nclients; i++) {
        if (C[i].st == ST_READY)
            ready++;
        else if (C[i].code)
            code = C[i].code;
    }
    printf("{\"label\":\"%s\",\"kind\":\"setup\",\"leg\":\"%s\",\"n\":%d,\"ready\":%d,\"errors\":%"
           "llu,\"last_error\":%d,\"rtx\":%llu,\"window\":%d,\"connect_s\":%.3f,\"connect_cpu_us\":"
           "%.1f,\"alloc_s\":%.3f,\"allocs_per_s\":%.0f,\"alloc_cpu_us\":%.1f,\"alloc_ms\":[%.3f,%."
           "3f],\"rss0_kb\":%ld,\"rss_kb\":%ld,\"rss_kb_per_alloc\":%.2f,\"relay_ports\":%d,\"tls_suite\":%d}\n",
           label,
           transport == T_UDP   ? "udp"
           : transport == T_TCP ? "tcp"
                                : "tls",
           nclients, ready, (unsigned long long)alloc_err, code, (unsigned long long)setup_rtx,
           window, (t1 - t0) / 1e9, (h.run_us - a.run_us) / nclients, (t2 - t1) / 1e9,
           ok / ((t2 - t1) / 1e9), (b.run_us - h.run_us) / (ready ? ready : 1),
           hpct(&lat, .5) / 1e3, hpct(&lat, .99) / 1e3, a.rss_kb, b.rss_kb,
           (double)(b.rss_kb - a.rss_kb) / (ready ? ready : 1), relay_ports, tls_suite());
    fflush(stdout);
    if (!ready) return 3;
    if (mode == M_ECHO || mode == M_UP || mode == M_DOWN) {
        if (search_hi > 0) {
            double good = 0, bad = 0, r = search_lo;
            run_trial(r, dur < 2 ? dur : 2, "warm", 0);
            for (int k = 0; k < 24 && !stop_flag; k++) {
                double l = run_trial(r, dur, "search", 1);
                if (l > 0.001) l = run_trial(r, dur, "search2", 1); /* one retry: noise */
                if (l <= 0.001) {
                    good = r;
                    if (r >= search_hi) break;
                    r = bad ? (good + bad) / 2 : r * 1.5;
                    if (r > search_hi) r = search_hi;
                } else {
                    bad = r;
                    r = good ? (good + bad) / 2 : r / 2;
                    if (!good && r < 100) break;
                }
                if (good && bad && (bad - good) / bad < 0.06) break;
                if (now_ns() - t0 > 300ull * 1000000000ull) break;
            }
            double mult = mode == M_ECHO ? 2 : 1;
            printf("{\"label\":\"%s\",\"kind\":\"max\",\"leg\":\"%s\",\"n\":%d,\"size\":%d,\"max_"
                   "offered_pps\":%.0f,\"max_relayed_pps\":%.0f}\n",
                   label,
                   transport == T_UDP   ? "udp"
                   : transport == T_TCP ? "tcp"
                                        : "tls",
                   nclients, psize, good, good * mult);
        } else {
            run_trial(rate, dur < 1 ? dur : 1, "warm", 0);
            run_trial(rate, dur, "run", 1);
        }
    } else if (mode == M_IDLE) {
        double e = dur;
        read_cpu(&a);
        uint64_t q = now_ns();
        while (!stop_flag && (now_ns() - q) / 1e9 < e)
            poll_io(100000);
        read_cpu(&b);
        printf("{\"label\":\"%s\",\"kind\":\"idle\",\"n\":%d,\"secs\":%.1f,\"cpu_pct\":%.3f,\"rss_"
               "kb\":%ld}\n",
               label, nclients, e, (b.run_us - a.run_us) / e / 1e4, b.rss_kb);
    }
    if (!keep) {
        read_cpu(&a);
        t0 = now_ns();
        int rel = drive(1, 60, NULL);
        t1 = now_ns();
        usleep(50000);
        read_cpu(&b);
        printf("{\"label\":\"%s\",\"kind\":\"release\",\"n\":%d,\"released\":%d,\"per_s\":%.0f,"
               "\"release_cpu_us\":%.1f,\"rss_kb\":%ld}\n",
               label, nclients, rel, rel / ((t1 - t0) / 1e9), rel ? (b.run_us - a.run_us) / rel : 0,
               b.rss_kb);
    }
    return 0;
}
