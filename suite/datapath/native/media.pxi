# Ends of media, and the keys of SRTP. Addresses are (host, port).

from libc.stdint cimport uintptr_t

cdef extern from "media.h" nogil:
    cdef struct dp_sources:
        int used
    bint dp_sources_has(const dp_sources *sources, uint32_t ssrc)
    void dp_sources_add(dp_sources *sources, uint32_t ssrc)
    cdef struct dp_srtp:
        bint wanted
        void *sends
        void *receives
        dp_sources *sources
    ctypedef int (*dp_srtp_function)(void *session, void *packet, int *size)
    void dp_srtp_use(dp_srtp_function protect, dp_srtp_function unprotect)
    size_t dp_protect(const dp_srtp *srtp, uint8_t *packet, size_t size)
    size_t dp_unprotect(const dp_srtp *srtp, uint8_t *packet, size_t size)
    const int DP_SRTP_LARGEST
    cdef struct dp_latch:
        bint has_source
        bint has_target
        dp_addr source
        dp_addr target
    void dp_latch_aim(dp_latch *latch, const dp_addr *remote, double now)
    bint dp_latch_lock(dp_latch *latch, const dp_addr *sender, double now)
    cdef struct dp_incoming:
        int64_t ssrc
        uint32_t rate
        double jitter
    cdef struct dp_reception:
        uint32_t ssrc
        uint32_t fraction
        int64_t lost
        uint32_t highest
        uint32_t jitter
    uint64_t dp_incoming_lost(const dp_incoming *stream)
    bint dp_incoming_report(dp_incoming *stream, dp_reception *found)
    cdef struct dp_outgoing:
        uint32_t ssrc
        int64_t source
        uint16_t sequence
        uint32_t timestamp
        bint has_sent
        double at
        uint32_t rate
    int32_t dp_outgoing_source_sequence(const dp_outgoing *stream, uint16_t sequence)
    uint32_t dp_outgoing_timestamp_at(const dp_outgoing *stream, double now)
    cdef struct dp_missing:
        double interval
    void dp_missing_want(dp_missing *missing, uint32_t ssrc, uint16_t sequence)
    cdef struct dp_kept:
        uint16_t *sizes
        uint8_t (*packets)[1500]
    bint dp_kept_has(const dp_kept *kept, uint16_t sequence)
    int dp_kept_again(dp_kept *kept, uint16_t sequence, double now)
    cdef struct dp_way:
        uint64_t handle
        dp_latch latch
        dp_socket *out
        dp_srtp srtp
    cdef struct dp_number:
        uint32_t rate
        uint32_t here
        uint32_t there
        uint8_t mapped
    cdef struct dp_end:
        uint64_t handle
        dp_way *way
        bint sends
        bint receives
        bint has_last
        dp_incoming incoming
        dp_outgoing outgoing
        dp_tally sent
        uint64_t padding_sent
        uint64_t forwarded
        uint64_t received_packets
        uint64_t received_octets
        uint64_t *dropped
        double last_received
        bint traced
        bint traces_drops
        double *trace_due
        dp_missing *missing
        dp_kept *kept
        dp_number *numbers
    const int DP_NOT_MAPPED
    const int DP_DROPS
    const int DP_RTP_HEADER
    void dp_end_init(dp_end *end, dp_plane *plane, dp_way *way)
    void dp_end_clear(dp_end *end)
    void dp_end_join(dp_end *one, dp_end *other)
    void dp_end_part(dp_end *end)
    bint dp_end_keep(dp_end *end, bint wanted)
    bint dp_end_miss(dp_end *end, bint wanted, double interval)
    void dp_end_send_own(dp_plane *plane, dp_end *end, uint8_t payload_type,
                         const uint8_t *payload, size_t size, uint32_t advance, double now,
                         uint32_t rate)
    bint dp_way_put(dp_plane *plane, const dp_way *way, const uint8_t *data, size_t size)
    bint dp_socket_put(dp_plane *plane, dp_socket *socket, const dp_addr *to,
                       const uint8_t *data, size_t size)
    cdef struct dp_opening:
        bint is_sender
        uint32_t last_report
        uint32_t delay
    size_t dp_end_compound(dp_end *end, const dp_opening *opening, double now, const char *name,
                           size_t size, uint8_t *into)
    cdef struct dp_media_socket:
        dp_socket socket
    cdef struct dp_plain:
        dp_way way
        dp_end end
        bint mux
        dp_media_socket control
        dp_latch control_latch
    dp_plain *dp_plain_open(dp_plane *plane, int rtp, int control)
    void dp_plain_close(dp_plane *plane, dp_plain *plain)
    void dp_plain_free(dp_plane *plane, dp_plain *plain)
    cdef struct dp_transport:
        dp_way way
        dp_end **by_number
        dp_end *first
        uint64_t *dropped
    dp_transport *dp_transport_new(dp_plane *plane)
    void dp_transport_free(dp_transport *transport)
    void dp_transport_forget(dp_transport *transport, const dp_end *end)
    void dp_transport_arrived(dp_plane *plane, dp_transport *transport, const uint8_t *data,
                              size_t size, double now)
    cdef struct dp_web_socket:
        dp_socket socket
        uint64_t handle
        dp_transport *transport
    dp_web_socket *dp_web_open(dp_plane *plane, int fd)
    void dp_web_close(dp_plane *plane, dp_web_socket *socket)
    bint dp_web_set_valid(dp_web_socket *socket, const dp_addr *valid, int count)


cdef object place_of(bint known, const dp_addr *addr):
    return from_addr(addr) if known else None


cdef class Sources:
    """SSRCs of a peer, as big-endian bytes: as much of a set as an SrtpSession wants."""

    cdef dp_sources sources

    def __len__(self):
        return self.sources.used

    def __contains__(self, bytes ssrc):
        return dp_sources_has(&self.sources, int.from_bytes(ssrc, "big"))

    def add(self, bytes ssrc):
        """One more that is authentic; no more than there is room for."""
        dp_sources_add(&self.sources, int.from_bytes(ssrc, "big"))


def use_srtp(uintptr_t protect, uintptr_t unprotect):
    """From now on by these functions of libsrtp 2."""
    dp_srtp_use(<dp_srtp_function>protect, <dp_srtp_function>unprotect)


cdef class SrtpWays:
    """
    Sessions of libsrtp for both ways, by their addresses; 0: that way takes nothing.

    ``owner`` is what must live as long as they are used.
    """

    cdef dp_srtp srtp
    cdef Sources sources
    cdef object owner

    def __init__(self, uintptr_t sends, uintptr_t receives, Sources sources, owner):
        self.srtp.wanted = True
        self.srtp.sends = <void *>sends
        self.srtp.receives = <void *>receives
        self.srtp.sources = &sources.sources
        self.sources = sources
        self.owner = owner

    def protect(self, bytes packet):
        """Encrypt; None if there is no packet for it."""
        return self._apply(packet, True)

    def unprotect(self, bytes packet):
        """Decrypt; None if it is not authentic."""
        return self._apply(packet, False)

    cdef object _apply(self, bytes packet, bint sends):
        cdef uint32_t[512] room
        cdef size_t size = len(packet)
        if size > <size_t>DP_SRTP_LARGEST:
            return None
        memcpy(room, <const char *>packet, size)
        if sends:
            size = dp_protect(&self.srtp, <uint8_t *>room, size)
        else:
            size = dp_unprotect(&self.srtp, <uint8_t *>room, size)
        return PyBytes_FromStringAndSize(<const char *>room, size) if size else None


# Their memory is given back with others of their own, which must be there then.
@cython.no_gc_clear
cdef class End:
    """
    One end: made by ``open`` with sockets of its own, or by ``on`` a transport.

    ``first`` are SSRC, sequence number and timestamp of what it sends.
    """

    cdef Core core
    cdef dp_end *end
    cdef dp_plain *plain
    cdef object keys
    cdef Transport transport

    @staticmethod
    def open(Core core, int rtp, int control, tuple first):
        """Two descriptors are its own from now on. Raises OSError; then they are not."""
        cdef End made = End.__new__(End)
        made.core = core
        made.plain = dp_plain_open(core.plane, rtp, control)
        if made.plain is NULL:
            PyErr_SetFromErrno(OSError)
        made.end = &made.plain.end
        made._begin(first)
        return made

    @staticmethod
    def on(Transport transport, tuple first):
        """It shares the way of a transport."""
        cdef End made = End.__new__(End)
        made.core = transport.core
        made.transport = transport
        made.end = <dp_end *>PyMem_Malloc(sizeof(dp_end))
        if made.end is NULL:
            raise MemoryError
        dp_end_init(made.end, transport.core.plane, &transport.transport.way)
        made._begin(first)
        return made

    cdef _begin(self, tuple first):
        self.end.outgoing.ssrc = first[0]
        self.end.outgoing.sequence = first[1]
        self.end.outgoing.timestamp = first[2]

    def __dealloc__(self):
        if self.plain is not NULL:
            dp_plain_free(self.core.plane, self.plain)
        elif self.end is not NULL:
            dp_transport_forget(self.transport.transport, self.end)
            dp_end_clear(self.end)
            PyMem_Free(self.end)

    def close(self):
        """Close its sockets; what is asked of it afterwards comes to nothing."""
        if self.plain is not NULL:
            dp_plain_close(self.core.plane, self.plain)
        dp_end_part(self.end)

    @property
    def handle(self):
        """What its events are about."""
        return self.end.handle

    # What holds

    def set_types(self, dict types, dict rates, dict events):
        """Payload types of the joined end, ticks, and ticks to convert, by the numbers here."""
        cdef int number
        cdef dp_number *found
        for number in range(128):
            found = &self.end.numbers[number]
            found.mapped = types.get(number, DP_NOT_MAPPED)
            found.rate = rates.get(number, 0)
            found.here, found.there = events.get(number, (0, 0))

    def set_ways(self, bint sends, bint receives, bint mux):
        """Whether it may send, whether what comes may pass, and whether RTCP comes with RTP."""
        self.end.sends = sends
        self.end.receives = receives
        if self.plain is not NULL:
            self.plain.mux = mux

    def set_missing(self, interval):
        """Seconds between two requests for what is missing; None: none."""
        if not dp_end_miss(self.end, interval is not None, interval or 0.0):
            raise MemoryError

    def want(self, uint32_t ssrc, uint16_t sequence):
        """Ask for a packet of lately, if what is missing is asked for."""
        if self.end.missing is not NULL:
            dp_missing_want(self.end.missing, ssrc, sequence)

    def set_kept(self, bint wanted):
        """Whether what is sent is kept to be sent again."""
        if not dp_end_keep(self.end, wanted):
            raise MemoryError

    def set_keys(self, SrtpWays keys):
        """Encrypt and decrypt by these; None: in the clear."""
        if keys is None:
            memset(&self.end.way.srtp, 0, sizeof(dp_srtp))
        else:
            self.end.way.srtp = keys.srtp
        self.keys = keys

    def aim(self, remote, remote_rtcp, double now):
        """Take the addresses of the peer's SDP."""
        self._aim(&self.plain.way.latch, remote, now)
        self._aim(&self.plain.control_latch, remote_rtcp, now)

    cdef _aim(self, dp_latch *latch, remote, double now):
        cdef dp_addr addr
        if remote is None:
            dp_latch_aim(latch, NULL, now)
        else:
            to_addr(remote[0], remote[1], &addr)
            dp_latch_aim(latch, &addr, now)

    def lock_control(self, source, uint32_t scope, double now):
        """RTCP on its own port came from there, and can be read."""
        cdef dp_addr addr
        to_addr(source[0], source[1], &addr)
        if addr.sa.sa_family == AF_INET6:
            addr.in6.sin6_scope_id = scope
        return dp_latch_lock(&self.plain.control_latch, &addr, now)

    def join(self, End other):
        """Bridge two ends, or one with itself."""
        dp_end_join(self.end, other.end)

    def part(self):
        """Be joined to nothing."""
        dp_end_part(self.end)

    def trace(self, bint drops, double due_in, double due_out):
        """Tell of packets from these moments on, and of each that goes nowhere if ``drops``."""
        self.end.traced = True
        self.end.traces_drops = drops
        self.end.trace_due[0] = due_in
        self.end.trace_due[1] = due_out

    # What it says

    def send_own(self, uint8_t number, bytes payload, uint32_t advance, double now, uint32_t rate):
        """Send a packet of our own, if it may send and knows where to."""
        dp_end_send_own(self.core.plane, self.end, number, payload, len(payload), advance, now,
                        rate)

    def put(self, bytes data):
        """Send where RTP goes; tell whether it left."""
        return dp_way_put(self.core.plane, self.end.way, data, len(data))

    def put_control(self, bytes data):
        """Send where RTCP goes; tell whether it left."""
        if self.plain.mux:
            return self.put(data)
        if not self.plain.control_latch.has_target:
            return False
        return dp_socket_put(self.core.plane, &self.plain.control.socket,
                             &self.plain.control_latch.target, data, len(data))

    @property
    def can_send(self):
        """Whether it is known where RTP goes."""
        return bool(self.end.way.latch.has_target)

    @property
    def can_control(self):
        """Whether it is known where RTCP goes."""
        if self.plain is NULL or self.plain.mux:
            return bool(self.end.way.latch.has_target)
        return bool(self.plain.control_latch.has_target)

    # What became of packets

    @property
    def source(self):
        """Where the peer's packets come from, once locked."""
        return place_of(self.end.way.latch.has_source, &self.end.way.latch.source)

    def drop(self, int why):
        """Count a packet that went nowhere."""
        self.end.dropped[why] += 1

    @property
    def dropped(self):
        """Packets that went nowhere, by dp_drop."""
        return [self.end.dropped[why] for why in range(DP_DROPS)]

    @property
    def received(self):
        """Packets and bytes."""
        return self.end.received_packets, self.end.received_octets

    @property
    def last_received(self):
        """When the last packet came; None before the first."""
        return self.end.last_received if self.end.has_last else None

    @property
    def sent_bytes(self):
        """Of packets that left, with their headers."""
        return self.end.sent.octets

    @property
    def forwarded(self):
        """Packets of the joined end that went out here."""
        return self.end.forwarded

    # The stream that comes in

    @property
    def incoming_ssrc(self):
        """The source; -1 before the first packet."""
        return self.end.incoming.ssrc

    @property
    def lost(self):
        """Packets missing, of all sources so far."""
        return dp_incoming_lost(&self.end.incoming)

    @property
    def jitter(self):
        """Interarrival jitter in seconds."""
        return self.end.incoming.jitter / self.end.incoming.rate

    def report(self):
        """SSRC, fraction lost, lost, highest number, jitter; None before the first packet."""
        cdef dp_reception found
        if not dp_incoming_report(&self.end.incoming, &found):
            return None
        return found.ssrc, found.fraction, found.lost, found.highest, found.jitter

    def compound(self, double now, bytes name, bint is_sender, uint32_t last_report,
                 uint32_t delay):
        """A report and a name, as RTCP."""
        cdef uint8_t[512] into
        cdef dp_opening opening
        opening.is_sender, opening.last_report, opening.delay = is_sender, last_report, delay
        cdef size_t size = dp_end_compound(self.end, &opening, now, name, len(name), into)
        return PyBytes_FromStringAndSize(<const char *>into, size)

    # The stream that goes out

    @property
    def ssrc(self):
        """Who it is."""
        return self.end.outgoing.ssrc

    @property
    def outgoing_source(self):
        """SSRC of whoever feeds it; below zero: nobody, or ourselves."""
        return self.end.outgoing.source

    @property
    def sent_at(self):
        """When the newest packet went out; None before the first."""
        return self.end.outgoing.at if self.end.outgoing.has_sent else None

    @property
    def rate(self):
        """Ticks of the newest packet's clock."""
        return self.end.outgoing.rate

    @property
    def sent_packets(self):
        """Packets that left."""
        return self.end.sent.packets

    @property
    def sent_payload(self):
        """Bytes of payload that left."""
        cdef uint64_t heads = DP_RTP_HEADER * self.end.sent.packets
        return self.end.sent.octets - heads - self.end.padding_sent

    def interrupt(self):
        """What feeds it will be another source."""
        self.end.outgoing.source = -1

    def source_sequence(self, uint16_t sequence):
        """The number that the source gave; None if it is long past."""
        cdef int32_t found = dp_outgoing_source_sequence(&self.end.outgoing, sequence)
        return None if found < 0 else found

    def timestamp_at(self, double now):
        """The timestamp that a packet sampled now would have."""
        return dp_outgoing_timestamp_at(&self.end.outgoing, now)

    # What may be sent again

    def has(self, uint16_t sequence):
        """Whether it is still here."""
        return self.end.kept is not NULL and bool(dp_kept_has(self.end.kept, sequence))

    def again(self, uint16_t sequence, double now):
        """The packet, if it is time to send it again."""
        cdef int at = -1 if self.end.kept is NULL else dp_kept_again(self.end.kept, sequence, now)
        if at < 0:
            return None
        return PyBytes_FromStringAndSize(
            <const char *>self.end.kept.packets[at], self.end.kept.sizes[at]
        )
