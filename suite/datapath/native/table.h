/*
 * A map from (space, transport address or number) to a pointer, for look-ups once per packet.
 *
 * A space tells apart what is kept in one table: a listener's clients, a relay socket's peers. The
 * hash is keyed with random bytes, because addresses are chosen by whoever sends.
 */
#ifndef DP_TABLE_H
#define DP_TABLE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* A socket address of either family. */
union dp_addr {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Compared byte by byte: made by dp_key and dp_number_key only, which leave no padding unset. */
struct dp_key {
    uint64_t space;
    uint8_t ip[16];
    uint32_t scope;
    uint16_t port;
    uint16_t family;
};

struct dp_entry {
    struct dp_key key;
    void *value;
};

struct dp_table {
    struct dp_entry *entries;
    size_t size; /* a power of two, or 0 */
    size_t used;
    uint64_t secret[2];
};

/* Make an empty table that holds no memory yet. False if there are no random bytes. */
bool dp_table_init(struct dp_table *table);
void dp_table_free(struct dp_table *table);

/* The key of a transport address; an IPv6 scope counts for link-local addresses only. */
struct dp_key dp_key(uint64_t space, const union dp_addr *addr);
/* The key of a host, whatever the port. */
struct dp_key dp_host_key(uint64_t space, const union dp_addr *addr);
struct dp_key dp_number_key(uint64_t space, uint32_t number);

/* What is there, or NULL. */
void *dp_table_get(const struct dp_table *table, const struct dp_key *key);
/* Put a value that is not NULL in, in place of what was there. False if there is no memory. */
bool dp_table_put(struct dp_table *table, const struct dp_key *key, void *value);
/* Take out and return what was there, or NULL. */
void *dp_table_take(struct dp_table *table, const struct dp_key *key);

#endif
