/*
 * TLS of a stream, by the OpenSSL that somebody else has loaded: its functions are given by address.
 *
 * The handshake is over. OpenSSL reads from and writes to memory (two BIOs), so one system call
 * carries many records either way, and the connection begins where its last owner has left it.
 */
#ifndef DP_STREAM_TLS_H
#define DP_STREAM_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct dp_stream;

/* OpenSSL's functions of these names. */
struct dp_openssl {
    int (*ssl_read)(void *ssl, void *to, int size);
    int (*ssl_write)(void *ssl, const void *from, int size);
    int (*ssl_get_error)(const void *ssl, int result);
    int (*ssl_shutdown)(void *ssl);
    int (*bio_read)(void *bio, void *to, int size);
    int (*bio_write)(void *bio, const void *from, int size);
    void (*err_clear_error)(void);
};

/* One connection, which somebody else keeps alive; `ssl` is NULL where there is no TLS. */
struct dp_tls {
    const struct dp_openssl *openssl;
    void *ssl;
    void *into;   /* BIO that OpenSSL reads from */
    void *out_of; /* BIO that OpenSSL writes to */
};

/* Take the functions' addresses, in the order of the members. */
void dp_openssl_at(struct dp_openssl *openssl, const size_t addresses[7]);
/* Read and decrypt; what comes out goes to dp_stream_arrived. */
void dp_tls_read(struct dp_stream *stream);
/* Encrypt and send. */
void dp_tls_write(struct dp_stream *stream, const uint8_t *bytes, size_t size);
/* Say close_notify, if that can be said yet. */
void dp_tls_shutdown(struct dp_stream *stream);

#endif
