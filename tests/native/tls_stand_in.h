/*
 * In place of OpenSSL: records of a type, a length and bytes that are turned over bit by bit. It
 * keeps to what stream_tls.c relies on, and fails where it is told to.
 */
#ifndef TLS_STAND_IN_H
#define TLS_STAND_IN_H

#include "stream_tls.h"

#define TLS_RECORD_HEAD 3
#define TLS_ROOM ((size_t)1 << 18)

struct tls_bytes {
    size_t start;
    size_t end;
    uint8_t data[TLS_ROOM];
};

struct tls_connection {
    struct tls_bytes into;
    struct tls_bytes out_of;
    int error; /* of the last call */
    bool fails;
};

extern const struct dp_openssl tls_stand_in;

void tls_reset(struct tls_connection *connection);
struct dp_tls tls_of(struct tls_connection *connection);
/* Write records of at most `most` bytes; returns what they take, which `to` must have room for. */
size_t tls_wrap(uint8_t *to, const uint8_t *data, size_t size, size_t most);
/* The size of the whole record that begins here, or 0. Its bytes are turned back in `plain`. */
size_t tls_unwrap(const uint8_t *record, size_t size, uint8_t *plain, size_t *plain_size);
/* What was read of a connection, at the moment it is given. */
extern void (*tls_took)(const struct tls_connection *connection, const uint8_t *data, size_t size);

#endif
