#include "media_srtp.h"

#define SSRC_AT 8
#define SSRC_END 12

static dp_srtp_function srtp_protect;
static dp_srtp_function srtp_unprotect;

void dp_srtp_use(dp_srtp_function protect, dp_srtp_function unprotect) {
    srtp_protect = protect;
    srtp_unprotect = unprotect;
}

bool dp_sources_has(const struct dp_sources *sources, uint32_t ssrc) {
    if (!sources->used) return false;
    if (sources->newest == ssrc) return true;
    for (int at = 0; at < sources->used; at++)
        if (sources->ssrc[at] == ssrc) return true;
    return false;
}

void dp_sources_add(struct dp_sources *sources, uint32_t ssrc) {
    if (!dp_sources_has(sources, ssrc)) {
        if (sources->used == DP_SOURCES_MOST) return;
        sources->ssrc[sources->used++] = ssrc;
    }
    sources->newest = ssrc;
}

size_t dp_protect(const struct dp_srtp *srtp, uint8_t *packet, size_t size) {
    if (!srtp->sends || !srtp_protect || size > DP_RTP_LARGEST) return 0;
    int length = (int)size;
    return srtp_protect(srtp->sends, packet, &length) == 0 && length > 0 ? (size_t)length : 0;
}

size_t dp_unprotect(const struct dp_srtp *srtp, uint8_t *packet, size_t size) {
    if (!srtp->receives || !srtp_unprotect || size < SSRC_END || size > DP_SRTP_LARGEST) return 0;
    const uint8_t *at = packet + SSRC_AT;
    uint32_t ssrc =
        (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | (uint32_t)at[3];
    struct dp_sources *sources = srtp->sources;
    bool known = dp_sources_has(sources, ssrc);
    if (!known && sources->used == DP_SOURCES_MOST) return 0;
    int length = (int)size;
    if (srtp_unprotect(srtp->receives, packet, &length) || length <= 0) return 0;
    if (!known || sources->newest != ssrc) dp_sources_add(sources, ssrc);
    return (size_t)length;
}
