/* The simulated kernel: what sends and receives. */
#include "kernel_inside.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

#define LARGEST 65507
#define SEGMENTS_MOST 64
#define ALL 16
/* Bytes behind what was received that must not be looked at. */
#define WALL 2048

static int refuse(int error) {
    errno = error;
    return -1;
}

/* Receiving */

/* Let the sanitizer see the end of a datagram in a larger room. */
static void wall_off(uint8_t *room, size_t size, size_t used) {
    ASAN_UNPOISON_MEMORY_REGION(room, used);
    size_t wall = size - used < WALL ? size - used : WALL;
    ASAN_POISON_MEMORY_REGION(room + used, wall);
}

static void give_segment(struct msghdr *head, size_t segment) {
    int value = (int)segment;
    REQUIRE(head->msg_controllen >= CMSG_SPACE(sizeof value));
    struct cmsghdr *about = CMSG_FIRSTHDR(head);
    *about = (struct cmsghdr){
        .cmsg_level = SOL_UDP, .cmsg_type = UDP_GRO, .cmsg_len = CMSG_LEN(sizeof value)};
    memcpy(CMSG_DATA(about), &value, sizeof value);
    head->msg_controllen = CMSG_SPACE(sizeof value);
}

static void give_name(struct msghdr *head, const union dp_addr *from) {
    socklen_t size = from->sa.sa_family == AF_INET6 ? sizeof from->in6 : sizeof from->in;
    if (!head->msg_name) return;
    memcpy(head->msg_name, from, size < head->msg_namelen ? size : head->msg_namelen);
    head->msg_namelen = size;
}

static void hear_taken(const struct sim_socket *socket, const uint8_t *data, size_t size,
                       size_t segment) {
    size_t at = 0;
    if (!sim_ears.took) return;
    do {
        size_t one = size - at < segment ? size - at : segment;
        sim_ears.took(sim_fd(socket), one ? data + at : data, one);
        at += segment;
    } while (at < size);
}

/* One datagram, or all that is joined where the socket wants that. */
static unsigned give_datagram(struct sim_socket *socket, struct msghdr *head) {
    struct sim_arrival *arrival = &socket->queue[socket->first];
    bool whole = socket->gro || arrival->size <= arrival->segment;
    size_t size = whole ? arrival->size : arrival->segment;
    REQUIRE(head->msg_iovlen == 1);
    uint8_t *room = head->msg_iov[0].iov_base;
    size_t taken = size < head->msg_iov[0].iov_len ? size : head->msg_iov[0].iov_len;
    wall_off(room, head->msg_iov[0].iov_len, taken);
    if (size) memcpy(room, arrival->data, taken);
    hear_taken(socket, arrival->data, taken, arrival->segment);
    give_name(head, &arrival->from);
    head->msg_flags = taken < size ? MSG_TRUNC : 0;
    if (whole && arrival->size > arrival->segment)
        give_segment(head, arrival->segment);
    else
        head->msg_controllen = 0;
    if (size) arrival->data += size;
    arrival->size -= size;
    if (!arrival->size) sim_pop(socket);
    return (unsigned)taken;
}

int kernel_recvmmsg(int fd, struct mmsghdr *messages, unsigned room, int flags,
                    struct timespec *timeout) {
    struct sim_socket *socket = sim_of(fd);
    REQUIRE(flags & MSG_DONTWAIT && !timeout && room > 0 && room <= 1024);
    uint8_t planned = sim_next_receive();
    if (!socket) return -1;
    if (planned) return refuse(sim_errno_of(planned));
    if (socket->error) {
        int error = socket->error;
        socket->error = 0;
        return refuse(error);
    }
    unsigned count = 0;
    for (; count < room && socket->count; count++)
        messages[count].msg_len = give_datagram(socket, &messages[count].msg_hdr);
    return count ? (int)count : refuse(EAGAIN);
}

ssize_t kernel_recvfrom(int fd, void *room, size_t size, int flags, struct sockaddr *from,
                        socklen_t *from_size) {
    struct iovec part = {room, size};
    struct mmsghdr message = {
        .msg_hdr = {
            .msg_name = from, .msg_namelen = *from_size, .msg_iov = &part, .msg_iovlen = 1}};
    if (kernel_recvmmsg(fd, &message, 1, flags, NULL) != 1) return -1;
    *from_size = message.msg_hdr.msg_namelen;
    return message.msg_len;
}

static ssize_t receive_icmp(struct sim_socket *socket, struct msghdr *head) {
    struct {
        struct sock_extended_err error;
        union dp_addr offender;
    } told;
    if (!socket->icmps_used) return refuse(EAGAIN);
    const struct sim_icmp *icmp = &socket->icmps[--socket->icmps_used];
    bool six = icmp->peer.sa.sa_family == AF_INET6;
    size_t size = sizeof told.error + (six ? sizeof told.offender.in6 : sizeof told.offender.in);
    memset(&told, 0, sizeof told);
    told.error = (struct sock_extended_err){.ee_errno = icmp->error,
                                            .ee_origin = icmp->origin,
                                            .ee_type = icmp->type,
                                            .ee_code = icmp->code,
                                            .ee_info = icmp->info};
    told.offender = icmp->peer;
    give_name(head, &icmp->peer);
    head->msg_flags = MSG_ERRQUEUE;
    if (head->msg_controllen < CMSG_SPACE(size)) {
        head->msg_flags |= MSG_CTRUNC;
        head->msg_controllen = 0;
        return 0;
    }
    struct cmsghdr *about = CMSG_FIRSTHDR(head);
    about->cmsg_level = six ? SOL_IPV6 : SOL_IP;
    about->cmsg_type = six ? IPV6_RECVERR : IP_RECVERR;
    about->cmsg_len = CMSG_LEN(size);
    memcpy(CMSG_DATA(about), &told, size);
    head->msg_controllen = CMSG_SPACE(size);
    return 0;
}

ssize_t kernel_recvmsg(int fd, struct msghdr *head, int flags) {
    struct sim_socket *socket = sim_of(fd);
    if (!socket) return -1;
    REQUIRE(flags & MSG_DONTWAIT || flags & MSG_ERRQUEUE);
    if (flags & MSG_ERRQUEUE) return receive_icmp(socket, head);
    if (!socket->count) return refuse(EAGAIN);
    return give_datagram(socket, head);
}

ssize_t kernel_recv(int fd, void *room, size_t size, int flags) {
    struct sim_socket *socket = sim_of(fd);
    uint8_t planned = sim_next_receive();
    (void)flags;
    if (!socket) return -1;
    if (planned) return refuse(sim_errno_of(planned));
    if (socket->error) {
        int error = socket->error;
        socket->error = 0;
        socket->ended = true;
        return refuse(error);
    }
    if (socket->ended) return 0;
    if (!socket->count) return refuse(EAGAIN);
    struct sim_arrival *part = &socket->queue[socket->first];
    size_t taken = part->size < size ? part->size : size;
    if (!part->size) socket->ended = true;
    if (taken) {
        memcpy(room, part->data, taken);
        if (sim_ears.took) sim_ears.took(fd, part->data, taken);
        part->data += taken;
        part->size -= taken;
    }
    if (!part->size) sim_pop(socket);
    return (ssize_t)taken;
}

ssize_t kernel_read(int fd, void *room, size_t size) {
    return kernel_recv(fd, room, size, 0);
}

/* Sending */

const uint8_t *sim_gather(const struct msghdr *head, size_t *size) {
    static uint8_t gathered[1 << 22];
    *size = 0;
    REQUIRE(head->msg_iovlen <= 1024);
    for (size_t at = 0; at < head->msg_iovlen; at++) {
        const struct iovec *part = &head->msg_iov[at];
        if (!part->iov_len) continue;
        REQUIRE(part->iov_len <= sizeof gathered - *size);
        memcpy(gathered + *size, part->iov_base, part->iov_len);
        *size += part->iov_len;
    }
    return gathered;
}

/* How the kernel is to cut it, or 0. */
static size_t cut_of(const struct msghdr *head) {
    if (!head->msg_controllen) return 0;
    struct cmsghdr *about = CMSG_FIRSTHDR((struct msghdr *)head);
    uint16_t segment;
    REQUIRE(about && about->cmsg_level == SOL_UDP && about->cmsg_type == UDP_SEGMENT);
    REQUIRE(about->cmsg_len == CMSG_LEN(sizeof segment));
    memcpy(&segment, CMSG_DATA(about), sizeof segment);
    REQUIRE(segment);
    return segment;
}

static void hear(int fd, const union dp_addr *to, const uint8_t *data, size_t size) {
    if (sim_ears.sent) sim_ears.sent(fd, to, data, size);
}

static bool reaches(const struct sim_socket *socket, const struct msghdr *head) {
    const union dp_addr *to = head->msg_name;
    REQUIRE(to &&
            head->msg_namelen == (to->sa.sa_family == AF_INET6 ? sizeof to->in6 : sizeof to->in));
    return to->sa.sa_family == socket->own.sa.sa_family && to->in.sin_port;
}

static ssize_t send_message(int fd, struct sim_socket *socket, const struct msghdr *head) {
    size_t size;
    size_t segment = cut_of(head);
    const uint8_t *data = sim_gather(head, &size);
    if (!reaches(socket, head)) return refuse(EINVAL);
    if (size > LARGEST) return refuse(EMSGSIZE);
    if (!segment || segment >= size) {
        hear(fd, head->msg_name, data, size);
        return (ssize_t)size;
    }
    REQUIRE((size + segment - 1) / segment <= SEGMENTS_MOST);
    for (size_t done = 0; done < size; done += segment)
        hear(fd, head->msg_name, data + done, size - done < segment ? size - done : segment);
    return (ssize_t)size;
}

/* An error that the plan or the socket has for a call that sends, or 0. */
static int error_of(struct sim_socket *socket, uint8_t planned) {
    int error = socket->error;
    socket->error = 0;
    return error ? error : planned < ALL ? sim_errno_of(planned) : 0;
}

int kernel_sendmmsg(int fd, struct mmsghdr *messages, unsigned count, int flags) {
    struct sim_socket *socket = sim_of(fd);
    uint8_t planned = sim_next_send();
    REQUIRE(flags & MSG_DONTWAIT && count > 0 && count <= 1024);
    if (!socket) return -1;
    int error = error_of(socket, planned);
    if (error) return refuse(error);
    unsigned most = planned >= ALL ? planned - ALL + 1U : count;
    unsigned done = 0;
    for (; done < count && done < most; done++) {
        ssize_t sent = send_message(fd, socket, &messages[done].msg_hdr);
        if (sent < 0) return done ? (int)done : -1;
        messages[done].msg_len = (unsigned)sent;
    }
    return (int)done;
}

static ssize_t write_stream(int fd, struct sim_socket *socket, const struct msghdr *head,
                            uint8_t planned) {
    size_t size;
    const uint8_t *data = sim_gather(head, &size);
    if (socket->cut) return refuse(EPIPE);
    if (!socket->writable) return refuse(EAGAIN);
    if (planned >= ALL && size > planned - ALL + 1U) size = planned - ALL + 1U;
    if (sim_ears.wrote) sim_ears.wrote(fd, data, size);
    return (ssize_t)size;
}

ssize_t kernel_sendmsg(int fd, const struct msghdr *head, int flags) {
    struct sim_socket *socket = sim_of(fd);
    uint8_t planned = sim_next_send();
    if (!socket) return -1;
    REQUIRE(flags & MSG_NOSIGNAL);
    int error = error_of(socket, planned);
    if (error) return refuse(error);
    return socket->stream ? write_stream(fd, socket, head, planned)
                          : send_message(fd, socket, head);
}

ssize_t kernel_sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to,
                      socklen_t to_size) {
    struct iovec part = {(void *)data, size};
    struct msghdr head = {
        .msg_name = (void *)to, .msg_namelen = to_size, .msg_iov = &part, .msg_iovlen = 1};
    return kernel_sendmsg(fd, &head, flags);
}

ssize_t kernel_send(int fd, const void *data, size_t size, int flags) {
    return kernel_sendto(fd, data, size, flags, NULL, 0);
}
