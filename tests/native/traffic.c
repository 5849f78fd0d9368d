#include "traffic.h"

#include "kernel.h"

#include <string.h>

#define POOL ((size_t)1 << 20)
#define ORIGINS 4096
#define LARGEST 65536
#define MARK 0xF5
#define MORE 0x7A

static uint8_t pool[POOL];
static size_t pool_used;
static struct origin origins[ORIGINS];
static unsigned origins_used;
static uint8_t seen[ORIGINS];
static uint8_t counting[LARGEST + 256]; /* 0, 1, 2 and so on */

void traffic_reset(void) {
    pool_used = origins_used = 0;
    if (counting[1]) return;
    for (size_t at = 0; at < sizeof counting; at++) counting[at] = (uint8_t)at;
}

uint8_t *traffic_room(size_t size) {
    if (size > POOL - pool_used) return NULL;
    pool_used += size;
    return pool + pool_used - size;
}

void traffic_tag(uint8_t *payload, size_t size, const struct origin *origin) {
    unsigned id = origins_used;
    memcpy(payload, counting + (id & 0xFF), size);
    if (size < 4 || id == ORIGINS) return;
    origins_used++;
    origins[id] = *origin;
    origins[id].size = size;
    seen[id] = 0;
    payload[0] = MARK;
    payload[1] = MORE;
    payload[2] = (uint8_t)(id >> 8);
    payload[3] = (uint8_t)id;
}

const struct origin *traffic_origin(const uint8_t *payload, size_t size) {
    if (size < 4 || payload[0] != MARK || payload[1] != MORE) return NULL;
    unsigned id = (unsigned)payload[2] << 8 | payload[3];
    REQUIRE(id < origins_used && origins[id].size == size);
    REQUIRE(!memcmp(payload + 4, counting + (id & 0xFF) + 4, size - 4));
    return &origins[id];
}

bool traffic_is_first(const struct origin *origin) {
    return !seen[origin - origins]++;
}

uint8_t *traffic_raw(struct input *input, size_t wanted, size_t *size) {
    const uint8_t *bytes = take_bytes(input, wanted, size);
    uint8_t *raw = traffic_room(*size);
    if (!raw) return NULL;
    for (size_t at = 0; at < *size; at++) raw[at] = bytes[at] == MARK ? MARK ^ 1 : bytes[at];
    return raw;
}

union dp_addr traffic_addr(bool six, uint8_t host, uint16_t port) {
    union dp_addr addr;
    memset(&addr, 0, sizeof addr);
    addr.in.sin_family = six ? AF_INET6 : AF_INET;
    addr.in.sin_port = htons(port);
    if (six) {
        addr.in6.sin6_addr.s6_addr[0] = 0xFD;
        addr.in6.sin6_addr.s6_addr[15] = host;
    } else {
        addr.in.sin_addr.s_addr = htonl(0x0A000000U | host);
    }
    return addr;
}
