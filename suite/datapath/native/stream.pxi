# TURN clients over TCP and TLS.

cdef extern from "stream.h" nogil:
    cdef struct dp_openssl:
        pass
    cdef struct dp_tls:
        const dp_openssl *openssl
        void *ssl
        void *into
        void *out_of
    cdef struct dp_backlog:
        size_t octets
        size_t frames
    cdef enum dp_stream_state:
        DP_STREAM_GONE
    cdef struct dp_stream:
        uint64_t handle
        dp_stream_state state
        bint blocked
        uint64_t media_dropped
        dp_backlog media
    cdef struct dp_streams:
        double media_age
        size_t media_bytes
        uint32_t strange_most
        bint media_to_python
        uint64_t media_dropped
        uint64_t ignored
    void dp_openssl_at(dp_openssl *openssl, const size_t *addresses)
    dp_streams *dp_streams_open(dp_plane *plane)
    void dp_streams_close(dp_streams *streams)
    void dp_streams_expire(dp_streams *streams, double now, double timeout)
    dp_stream *dp_stream_open(
        dp_streams *streams, int fd, const dp_tls *tls, const uint8_t *unsent, size_t size)
    void dp_stream_free(dp_stream *stream)
    void dp_stream_feed(dp_stream *stream, const uint8_t *data, size_t size)
    void dp_stream_set_flow(dp_stream *stream, dp_turn *turn, dp_flow *flow)
    void dp_stream_set_stranger(dp_stream *stream, bint is_stranger)
    size_t dp_stream_send(dp_stream *stream, const uint8_t *frame, size_t size, bint is_media)
    bint dp_stream_close(dp_stream *stream)
    void dp_stream_abort(dp_stream *stream)


OPENSSL_FUNCTIONS = (
    "SSL_read", "SSL_write", "SSL_get_error", "SSL_shutdown",
    "BIO_read", "BIO_write", "ERR_clear_error",
)


cdef class OpenSsl:
    """OpenSSL's functions that streams call, by the addresses that somebody vouches for."""

    cdef dp_openssl calls

    def __cinit__(self, addresses):
        cdef size_t at[7]
        for number, name in enumerate(OPENSSL_FUNCTIONS):
            at[number] = addresses[name]
        dp_openssl_at(&self.calls, at)


cdef class TlsLayer:
    """One connection of OpenSSL whose handshake is over; ``owner`` keeps it alive."""

    cdef dp_tls tls
    cdef OpenSsl openssl
    cdef object owner

    def __cinit__(self, OpenSsl openssl, object owner, size_t ssl, size_t into, size_t out_of):
        self.openssl = openssl
        self.owner = owner
        self.tls.openssl = &openssl.calls
        self.tls.ssl = <void *>ssl
        self.tls.into = <void *>into
        self.tls.out_of = <void *>out_of


cdef class Streams:
    """
    The streams of a core and their limits (``turn.net.stream.StreamLimits``).

    ``media_to_python``: what comes over a stream without a flow is told, not dropped.
    """

    cdef Core core
    cdef dp_streams *streams

    def __cinit__(
        self, Core core, double media_age, size_t media_bytes, uint32_t strange_most,
        bint media_to_python=False,
    ):
        self.core = core
        self.streams = dp_streams_open(core.plane)
        if self.streams is NULL:
            raise MemoryError
        self.streams.media_age = media_age
        self.streams.media_bytes = media_bytes
        self.streams.strange_most = strange_most
        self.streams.media_to_python = media_to_python

    def __dealloc__(self):
        if self.streams is not NULL:
            dp_streams_close(self.streams)

    @property
    def media_dropped(self):
        """Frames that some client was too slow for."""
        return self.streams.media_dropped

    @property
    def ignored(self):
        """Media of clients without a flow."""
        return self.streams.ignored

    def expire(self, double now, double timeout):
        """Tell of every stream whose frame has not been whole for ``timeout`` seconds."""
        self.core.plane.now = now
        dp_streams_expire(self.streams, now, timeout)


@cython.no_gc_clear
cdef class Stream:
    """
    A connected descriptor, which is the stream's from now on. Raises OSError, then it is not.

    ``unsent`` is written before all else; ``tls`` is None for plain TCP.
    """

    cdef Streams all
    cdef TlsLayer tls
    cdef dp_stream *stream

    def __cinit__(self, Streams streams, int fd, bytes unsent, TlsLayer tls, double now):
        self.all = streams
        self.tls = tls
        streams.core.plane.now = now
        self.stream = dp_stream_open(
            streams.streams, fd, NULL if tls is None else &tls.tls,
            <const uint8_t *><const char *>unsent, len(unsent))
        if self.stream is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.stream is not NULL:
            dp_stream_free(self.stream)

    @property
    def handle(self):
        """The owner of its events."""
        return self.stream.handle

    @property
    def is_gone(self):
        """Whether the descriptor is closed."""
        return self.stream.state == DP_STREAM_GONE

    @property
    def is_blocked(self):
        """Whether what is sent has to wait."""
        return self.stream.blocked

    @property
    def media_dropped(self):
        """Frames that were too old or too many for this client."""
        return self.stream.media_dropped

    @property
    def media_waiting(self):
        """Frames and bytes of media that wait."""
        return self.stream.media.frames, self.stream.media.octets

    def feed(self, bytes data, double now):
        """Take bytes that somebody else has read (and decrypted); events gather in the core."""
        cdef const uint8_t *start = <const uint8_t *><const char *>data
        cdef size_t size = len(data)
        self.all.core.plane.now = now
        with nogil:
            dp_stream_feed(self.stream, start, size)

    def set_flow(self, Turn turn, uint64_t flow):
        """Its client has this flow from now on. KeyError if there is none such."""
        dp_stream_set_flow(self.stream, turn.turn, turn.find(flow))

    def set_stranger(self, bint is_stranger):
        """Whether it has no allocation."""
        dp_stream_set_stranger(self.stream, is_stranger)

    def send_control(self, bytes message, double now):
        """Send at once, or keep. Returns how many bytes of messages wait."""
        self.all.core.plane.now = now
        return dp_stream_send(
            self.stream, <const uint8_t *><const char *>message, len(message), False)

    def send_media(self, bytes frame, double now):
        """Send at once, or keep for a moment."""
        self.all.core.plane.now = now
        dp_stream_send(self.stream, <const uint8_t *><const char *>frame, len(frame), True)

    def close(self):
        """Close after what was written. True: it is closed; False: an event follows."""
        return dp_stream_close(self.stream)

    def abort(self):
        """Close with a reset; no event follows."""
        dp_stream_abort(self.stream)
