/*
 * What the relay may send, kept apart from what is tested: permissions and channels in plain
 * arrays, looked through one by one.
 */
#ifndef RELAY_MODEL_H
#define RELAY_MODEL_H

#include "kernel.h"
#include "relay.h"
#include "traffic.h"

#define FLOWS 6
#define LISTENERS 2
#define CLIENTS 3
#define HOSTS 4
#define NUMBERS 4
#define FIRST_NUMBER 0x4000
#define CLIENT_PORT 7000

struct model_permission {
    double until; /* 0: none */
    uint8_t reached;
    struct dp_ports ports;
    bool some_ports;
};

struct model_channel {
    double until; /* 0: none */
    bool six;
    uint8_t host;
    uint8_t reached;
    uint16_t port;
};

struct model_flow {
    struct dp_flow *flow; /* NULL: closed */
    uint64_t number;
    bool is_stream;
    int listener;
    int client;
    uint64_t relays[2];
    int fds[2];
    struct model_permission permissions[2][HOSTS];
    struct model_channel channels[NUMBERS];
    uint64_t sent; /* to peers, heard by the kernel */
    uint64_t sent_octets;
};

struct model {
    struct dp_plane *plane;
    struct dp_turn *turn;
    double now;
    uint64_t listeners[LISTENERS];
    int listener_fds[LISTENERS];
    struct model_flow flows[FLOWS];
    uint64_t to_clients; /* heard by the kernel */
    uint64_t answers;
    uint64_t down; /* what closed flows say they sent to UDP clients */
    bool answering;
};
extern struct model model;

/* Open the plane and both listeners; close all. */
void model_open(void);
void model_close(void);

union dp_addr model_client(int listener, int client);
struct model_flow *model_flow_of(int listener, int client);

void model_open_flow(int at, uint8_t how);
void model_close_flow(int at);
void model_add_relay(int at, bool six);
void model_release(int at, bool six);
void model_permit(int at, bool six, uint8_t host, uint8_t how, double lifetime);
void model_bind(int at, uint8_t number, bool six, uint8_t host, uint16_t port, double lifetime);
void model_expire(void);

/* Look at everything after a wake-up. */
void model_check(void);
/* Take the events of the plane. */
void model_take_events(void);

#endif
