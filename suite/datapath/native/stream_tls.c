#include "stream_tls.h"

#include "stream.h"
#include "stream_frame.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

/* OpenSSL's, from its ABI. */
#define SSL_ERROR_WANT_READ 2
#define SSL_ERROR_WANT_WRITE 3
#define SSL_ERROR_ZERO_RETURN 6
#define CIPHERTEXT_MOST 65536

_Static_assert(sizeof(struct dp_openssl) == 7 * sizeof(size_t), "an address is a size_t");

void dp_openssl_at(struct dp_openssl *openssl, const size_t addresses[7]) {
    memcpy(openssl, addresses, sizeof *openssl);
}

/* Send what OpenSSL has to say: records, answers of its own, alerts. */
static void send_records(struct dp_stream *stream) {
    uint8_t *records = stream->all->scratch;
    int size;
    while ((size = stream->tls.openssl->bio_read(stream->tls.out_of, records, CIPHERTEXT_MOST)) > 0)
        dp_stream_put(stream, records, (size_t)size);
}

/* The connection is of no use any more. OpenSSL's list of errors is everybody's: leave it empty. */
static void end(struct dp_stream *stream, enum dp_stream_end why) {
    stream->tls.openssl->err_clear_error();
    send_records(stream);
    dp_stream_end(stream, why);
}

static void decrypt(struct dp_stream *stream) {
    const struct dp_openssl *openssl = stream->tls.openssl;
    int size = 1;
    while (stream->state == DP_STREAM_LIVE) {
        uint8_t *room = dp_stream_room(stream);
        openssl->err_clear_error();
        size = openssl->ssl_read(stream->tls.ssl, room, DP_STREAM_READ);
        if (size <= 0) break;
        dp_stream_arrived(stream, room, (size_t)size);
    }
    if (size > 0) return;
    int why = openssl->ssl_get_error(stream->tls.ssl, size);
    if (why == SSL_ERROR_ZERO_RETURN) {
        openssl->ssl_shutdown(stream->tls.ssl);
        end(stream, DP_END_DONE);
    } else if (why != SSL_ERROR_WANT_READ && why != SSL_ERROR_WANT_WRITE) {
        end(stream, DP_END_LOST);
    }
}

void dp_tls_read(struct dp_stream *stream) {
    uint8_t *records = stream->all->scratch;
    ssize_t size = recv(stream->socket.fd, records, stream->read_most, MSG_DONTWAIT);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
    /* An end without close_notify may be anybody's doing. */
    if (size <= 0 ||
        stream->tls.openssl->bio_write(stream->tls.into, records, (int)size) != (int)size) {
        end(stream, DP_END_LOST);
        return;
    }
    decrypt(stream);
    if (stream->state == DP_STREAM_LIVE) send_records(stream);
}

static bool encrypt(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    while (size) {
        stream->tls.openssl->err_clear_error();
        int part = size > DP_STREAM_WRITE ? DP_STREAM_WRITE : (int)size;
        int taken = stream->tls.openssl->ssl_write(stream->tls.ssl, bytes, part);
        if (taken <= 0) {
            stream->tls.openssl->err_clear_error();
            stream->broken = true;
            shutdown(stream->socket.fd, SHUT_RDWR);
            return false;
        }
        bytes += taken;
        size -= (size_t)taken;
    }
    return true;
}

/* A record for each frame, as there are clients that take the one for the other. */
void dp_tls_write(struct dp_stream *stream, const uint8_t *bytes, size_t size) {
    while (size) {
        size_t frame = dp_frame_padded(bytes, size);
        if (!frame || frame > size) frame = size;
        if (!encrypt(stream, bytes, frame)) return;
        bytes += frame;
        size -= frame;
    }
    send_records(stream);
}

void dp_tls_shutdown(struct dp_stream *stream) {
    stream->tls.openssl->err_clear_error();
    stream->tls.openssl->ssl_shutdown(stream->tls.ssl);
    stream->tls.openssl->err_clear_error();
    send_records(stream);
}
