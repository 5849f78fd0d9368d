/*
 * SRTP (RFC 3711, RFC 7714) by the functions of a libsrtp that somebody else has loaded.
 *
 * The sessions are made and freed in Python, which uses them for RTCP; here they only serve.
 */
#ifndef DP_MEDIA_SRTP_H
#define DP_MEDIA_SRTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a packet as it goes over the wire, and before: the longest tag is that of AES-GCM. */
#define DP_SRTP_LARGEST 1500
#define DP_SRTP_TAG 16
#define DP_RTP_LARGEST (DP_SRTP_LARGEST - DP_SRTP_TAG)
/* Bytes behind a packet that libsrtp may write to, by its contract: tag and MKI, which we have not.
 */
#define DP_SRTP_TRAILER 144
/* SSRCs of a peer, each of which costs memory until the session ends. */
#define DP_SOURCES_MOST 256

/* SSRCs of a peer that have sent something authentic. */
struct dp_sources {
    uint32_t newest;
    int used;
    uint32_t ssrc[DP_SOURCES_MOST];
};

bool dp_sources_has(const struct dp_sources *sources, uint32_t ssrc);
void dp_sources_add(struct dp_sources *sources, uint32_t ssrc);

/* Both ways of a peer; a way without a session takes nothing. */
struct dp_srtp {
    bool wanted; /* false: in the clear */
    void *sends;
    void *receives;
    struct dp_sources *sources;
};

/* libsrtp 2: session, packet, its size; 0 where all is well. */
typedef int (*dp_srtp_function)(void *session, void *packet, int *size);

/* From now on by these functions, which have passed their test. */
void dp_srtp_use(dp_srtp_function protect, dp_srtp_function unprotect);
/* In place, with DP_SRTP_TRAILER bytes behind what is encrypted; the new size, or 0. */
size_t dp_protect(const struct dp_srtp *srtp, uint8_t *packet, size_t size);
size_t dp_unprotect(const struct dp_srtp *srtp, uint8_t *packet, size_t size);

#endif
