#include "stream_frame.h"

#include <string.h>

#define STUN_HEADER 20
#define CHANNEL_HEADER 4

static const uint8_t cookie[4] = {0x21, 0x12, 0xA4, 0x42};

bool dp_frame_fault(const uint8_t *head, size_t size) {
    if (head[0] > 0x7F) return true;
    if (head[0] > 0x3F) return false;
    if (size > 3 && head[3] & 3) return true;
    size_t known = size < DP_FRAME_HEAD ? size : DP_FRAME_HEAD;
    return known > 4 && memcmp(head + 4, cookie, known - 4) != 0;
}

size_t dp_frame_size(const uint8_t *head) {
    size_t length = (size_t)head[2] << 8 | head[3];
    return (head[0] > 0x3F ? CHANNEL_HEADER : STUN_HEADER) + length;
}

size_t dp_frame_padded(const uint8_t *head, size_t size) {
    if (size < 4) return 0;
    /* The length of a STUN message is a multiple of four, or it is at fault. */
    return (dp_frame_size(head) + 3) & ~(size_t)3;
}

bool dp_frame_is_media(const uint8_t *head) {
    return head[0] > 0x3F || (head[0] == 0 && head[1] == 0x16);
}
