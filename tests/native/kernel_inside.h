/* What kernel*.c share. */
#ifndef KERNEL_INSIDE_H
#define KERNEL_INSIDE_H

#include "kernel.h"

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/types.h>

#if defined(__SANITIZE_ADDRESS__)
#define SIM_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SIM_ASAN 1
#endif
#endif

#ifdef SIM_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(at, size) ((void)(at), (void)(size))
#endif

#define SIM_ICMPS 8

struct sim_arrival {
    union dp_addr from;
    const uint8_t *data;
    size_t size;
    size_t segment;
};

struct sim_socket {
    bool open;
    bool stream;
    bool gro;
    bool writable;
    bool ended; /* nothing more is to be read */
    bool cut;   /* both ways */
    int error;
    union dp_addr own;
    struct sim_arrival queue[SIM_QUEUE]; /* a ring */
    int first;
    int count;
    struct sim_icmp icmps[SIM_ICMPS];
    int icmps_used;
    uint32_t watched; /* 0: by no epoll */
    epoll_data_t about;
};

/* NULL with errno set if there is none. */
struct sim_socket *sim_of(int fd);
int sim_fd(const struct sim_socket *socket);
void sim_pop(struct sim_socket *socket);
/* The next result of a plan. */
uint8_t sim_next_send(void);
uint8_t sim_next_receive(void);
/* Copy what the parts say to where it can be looked at. */
const uint8_t *sim_gather(const struct msghdr *head, size_t *size);

#endif
