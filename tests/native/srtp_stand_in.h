/*
 * In place of libsrtp: bytes turned by a key, and a tag behind them that knows all before it.
 */
#ifndef SRTP_STAND_IN_H
#define SRTP_STAND_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SRTP_TAG 16

/* A session; its key is no zero. */
struct srtp_session {
    uint8_t key;
    bool fails;
};

/* As srtp_protect and srtp_unprotect of libsrtp 2. */
int srtp_stand_in_protect(void *session, void *packet, int *size);
int srtp_stand_in_unprotect(void *session, void *packet, int *size);

#endif
