#include "tls_stand_in.h"

#include "kernel.h"

#include <string.h>

enum { CLOSE = 0x15, DATA = 0x17 };
enum { NO_ERROR = 0, ERROR_SSL = 1, WANT_READ = 2, ZERO_RETURN = 6 };

void (*tls_took)(const struct tls_connection *connection, const uint8_t *data, size_t size);
static int errors_kept;

void tls_reset(struct tls_connection *connection) {
    connection->into.start = connection->into.end = 0;
    connection->out_of.start = connection->out_of.end = 0;
    connection->error = NO_ERROR;
    connection->fails = false;
}

static void append(struct tls_bytes *bytes, const uint8_t *data, size_t size) {
    if (bytes->start) {
        memmove(bytes->data, bytes->data + bytes->start, bytes->end - bytes->start);
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    REQUIRE(size <= sizeof bytes->data - bytes->end);
    memcpy(bytes->data + bytes->end, data, size);
    bytes->end += size;
}

static void turn(uint8_t *to, const uint8_t *from, size_t size) {
    for (size_t at = 0; at < size; at++) to[at] = (uint8_t)~from[at];
}

static void write_record(uint8_t *to, uint8_t type, const uint8_t *data, size_t size) {
    to[0] = type;
    to[1] = (uint8_t)(size >> 8);
    to[2] = (uint8_t)size;
    turn(to + TLS_RECORD_HEAD, data, size);
}

size_t tls_wrap(uint8_t *to, const uint8_t *data, size_t size, size_t most) {
    size_t used = 0;
    for (size_t at = 0; at < size; at += most) {
        size_t part = size - at < most ? size - at : most;
        write_record(to + used, DATA, data + at, part);
        used += TLS_RECORD_HEAD + part;
    }
    return used;
}

size_t tls_unwrap(const uint8_t *record, size_t size, uint8_t *plain, size_t *plain_size) {
    if (size < TLS_RECORD_HEAD) return 0;
    size_t length = (size_t)record[1] << 8 | record[2];
    if (size < TLS_RECORD_HEAD + length) return 0;
    REQUIRE(record[0] == DATA || record[0] == CLOSE);
    turn(plain, record + TLS_RECORD_HEAD, length);
    *plain_size = length;
    return TLS_RECORD_HEAD + length;
}

static int fail(struct tls_connection *connection, int why) {
    connection->error = why;
    errors_kept += why == ERROR_SSL;
    return why == ZERO_RETURN ? 0 : -1;
}

/* A record, or the rest of one: what has not been asked for waits as a shorter record. */
static int ssl_read(void *ssl, void *to, int size) {
    struct tls_connection *connection = ssl;
    struct tls_bytes *into = &connection->into;
    uint8_t *record = into->data + into->start;
    size_t left = into->end - into->start;
    REQUIRE(!errors_kept && size > 0);
    if (connection->fails) return fail(connection, ERROR_SSL);
    if (left < TLS_RECORD_HEAD) return fail(connection, WANT_READ);
    size_t length = (size_t)record[1] << 8 | record[2];
    if (record[0] == CLOSE) return fail(connection, ZERO_RETURN);
    if (record[0] != DATA || length > 16384) return fail(connection, ERROR_SSL);
    if (left < TLS_RECORD_HEAD + length) return fail(connection, WANT_READ);
    size_t taken = length < (size_t)size ? length : (size_t)size;
    turn(to, record + TLS_RECORD_HEAD, taken);
    into->start += TLS_RECORD_HEAD + length;
    REQUIRE(taken == length);
    if (!taken) return ssl_read(ssl, to, size);
    if (tls_took) tls_took(connection, to, taken);
    return (int)taken;
}

static int ssl_write(void *ssl, const void *from, int size) {
    struct tls_connection *connection = ssl;
    uint8_t record[TLS_RECORD_HEAD + 16384];
    REQUIRE(!errors_kept && size > 0 && size <= 16384);
    if (connection->fails) return fail(connection, ERROR_SSL);
    write_record(record, DATA, from, (size_t)size);
    append(&connection->out_of, record, TLS_RECORD_HEAD + (size_t)size);
    return size;
}

static int ssl_get_error(const void *ssl, int result) {
    const struct tls_connection *connection = ssl;
    REQUIRE(result <= 0);
    return connection->error;
}

static int ssl_shutdown(void *ssl) {
    struct tls_connection *connection = ssl;
    uint8_t record[TLS_RECORD_HEAD];
    write_record(record, CLOSE, NULL, 0);
    append(&connection->out_of, record, sizeof record);
    return 0;
}

static int bio_read(void *bio, void *to, int size) {
    struct tls_bytes *bytes = bio;
    size_t left = bytes->end - bytes->start;
    size_t taken = left < (size_t)size ? left : (size_t)size;
    if (!taken) return -1;
    memcpy(to, bytes->data + bytes->start, taken);
    bytes->start += taken;
    return (int)taken;
}

static int bio_write(void *bio, const void *from, int size) {
    append(bio, from, (size_t)size);
    return size;
}

static void err_clear_error(void) {
    errors_kept = 0;
}

const struct dp_openssl tls_stand_in = {ssl_read, ssl_write, ssl_get_error,  ssl_shutdown,
                                        bio_read, bio_write, err_clear_error};

struct dp_tls tls_of(struct tls_connection *connection) {
    errors_kept = 0;
    return (struct dp_tls){&tls_stand_in, connection, &connection->into, &connection->out_of};
}
