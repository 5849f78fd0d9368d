/*
 * What Python may be told, by number; the names of the receivers are in native_core.py.
 */
#ifndef DP_EVENTS_H
#define DP_EVENTS_H

enum dp_event_kind {
    /* Relay */
    DP_CONTROL = 1,     /* owner: listener; a STUN message from a client */
    DP_SEND = 2,        /* owner: flow; a Send indication that Python has to read */
    DP_TO_STREAM = 3,   /* owner: flow; more: frames, for a client whose stream Python has */
    DP_STREAM = 16,     /* owner: stream; a STUN message that came over it */
    DP_STREAM_END = 17, /* owner: stream; more: why */
    /* Media */
    DP_RTCP = 32,   /* owner: end; a datagram of RTCP */
    DP_OTHER = 33,  /* owner: web socket; STUN or DTLS */
    DP_MISSED = 34, /* owner: end; numbers that are missing */
    DP_TRACE = 35,  /* owner: end; head of a packet */
    DP_PUT = 36,    /* owner: transport; a packet for a base that is not a socket */
};

#endif
