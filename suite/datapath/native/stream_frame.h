/*
 * What a frame of a TURN stream looks like (RFC 8489, section 6.2.2; RFC 8656, section 12.5).
 *
 * The same as turn/stun/framing.py, which says why.
 */
#ifndef DP_STREAM_FRAME_H
#define DP_STREAM_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest frame there is: a STUN message. */
#define DP_FRAME_MOST (20 + 0xFFFC)
/* So many bytes tell all that can be wrong with a frame. */
#define DP_FRAME_HEAD 8

/* Whether no frame begins with these bytes, of which there is at least one. */
bool dp_frame_fault(const uint8_t *head, size_t size);
/* What the frame takes of the stream; 0 as long as its length is not there. */
size_t dp_frame_padded(const uint8_t *head, size_t size);
/* The length of a frame whose first four bytes are here, without padding. */
size_t dp_frame_size(const uint8_t *head);
/* Whether the relay forwards it: ChannelData and Send indications. */
bool dp_frame_is_media(const uint8_t *head);

#endif
