# The relay's sockets and flows for Python.

cdef extern from "relay.h" nogil:
    cdef struct dp_turn:
        pass
    cdef struct dp_flow:
        pass
    cdef struct dp_counters:
        uint64_t received_packets
        uint64_t received_bytes
        uint64_t sent_packets
        uint64_t sent_bytes
        uint64_t peer_received_packets
        uint64_t peer_received_bytes
        uint64_t peer_sent_packets
        uint64_t peer_sent_bytes
        uint64_t dropped_packets
    cdef struct dp_shared_totals:
        uint64_t pairs
        uint64_t links
        uint64_t unclaimed
        uint64_t refused
    cdef struct dp_ports:
        uint16_t first
        uint16_t last
    dp_turn *dp_turn_open(dp_plane *plane)
    void dp_turn_close(dp_turn *turn)
    uint64_t dp_turn_ignored(const dp_turn *turn)
    uint64_t dp_turn_unsent(const dp_turn *turn)
    void dp_turn_ignore(dp_turn *turn)
    size_t dp_turn_entries(const dp_turn *turn)
    uint64_t dp_turn_listen(dp_turn *turn, int fd)
    uint64_t dp_turn_bind(dp_turn *turn, int fd)
    uint64_t dp_turn_bind_shared(dp_turn *turn, int fd)
    dp_shared_totals dp_turn_totals(const dp_turn *turn)
    int dp_turn_stop_listening(dp_turn *turn, uint64_t listener)
    int dp_turn_release(dp_turn *turn, uint64_t relay)
    void dp_turn_answer(dp_turn *turn, uint64_t listener, const dp_addr *to,
                        const uint8_t *message, size_t size)
    void dp_turn_expire(dp_turn *turn, double now)
    dp_flow *dp_flow_open(dp_turn *turn, uint64_t max_bps)
    dp_flow *dp_flow_find(const dp_turn *turn, uint64_t number)
    uint64_t dp_flow_number(const dp_flow *flow)
    int dp_flow_set_udp(dp_flow *flow, uint64_t listener, const dp_addr *client)
    void dp_flow_set_python(dp_flow *flow)
    int dp_flow_add_relay(dp_flow *flow, uint64_t relay)
    int dp_flow_share(dp_flow *flow, uint64_t max_peers)
    int dp_flow_drop_relay(dp_flow *flow, uint64_t relay)
    void dp_flow_close(dp_flow *flow, dp_counters *counters)
    void dp_flow_count(const dp_flow *flow, dp_counters *counters)
    int dp_flow_permit(dp_flow *flow, const dp_addr *host, const dp_addr *reached_at,
                       const dp_ports *ports, int ports_count, double until)
    int dp_flow_bind_channel(dp_flow *flow, uint16_t number, const dp_addr *peer, double until)
    void dp_flow_want(dp_flow *flow, const dp_addr *target)
    int dp_flow_claim(dp_flow *flow, const dp_addr *target)
    void dp_flow_from_client(dp_turn *turn, dp_flow *flow, const uint8_t *frame, size_t size)
    void dp_flow_send(dp_flow *flow, const dp_addr *peer, const uint8_t *payload, size_t size,
                      bint dont_fragment)


cdef tuple counted(const dp_counters *counters):
    return (
        counters.received_packets,
        counters.received_bytes,
        counters.sent_packets,
        counters.sent_bytes,
        counters.peer_received_packets,
        counters.peer_received_bytes,
        counters.peer_sent_packets,
        counters.peer_sent_bytes,
        counters.dropped_packets,
    )


cdef class Turn:
    """
    The relay in a Core. Whatever takes a number raises KeyError if there is none such.

    Descriptors that are handed in belong to it, also where it raises OSError.
    """

    cdef Core core
    cdef dp_turn *turn

    def __cinit__(self, Core core):
        self.core = core
        self.turn = dp_turn_open(core.plane)
        if self.turn is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        self.shut_down()

    def shut_down(self):
        """Close every socket and flow; nothing else may be called after this."""
        if self.turn is not NULL:
            dp_turn_close(self.turn)
        self.turn = NULL

    @property
    def ignored(self):
        """Datagrams that were neither STUN nor known ChannelData."""
        return dp_turn_ignored(self.turn) if self.turn is not NULL else 0

    @property
    def unsent(self):
        """Datagrams to clients that the kernel refused."""
        return dp_turn_unsent(self.turn) if self.turn is not NULL else 0

    @property
    def entries(self):
        """What is kept at all, for tests."""
        return dp_turn_entries(self.turn)

    def ignore(self):
        """Count a message that Python has read in vain."""
        dp_turn_ignore(self.turn)

    cdef dp_flow *find(self, uint64_t flow) except NULL:
        cdef dp_flow *found = dp_flow_find(self.turn, flow)
        if found is NULL:
            raise KeyError(flow)
        return found

    def listen(self, int fd):
        """Take a bound socket that clients send to; return its number."""
        cdef uint64_t number = dp_turn_listen(self.turn, fd)
        if not number:
            PyErr_SetFromErrno(OSError)
        return number

    def stop_listening(self, uint64_t listener):
        """Close a listener."""
        if dp_turn_stop_listening(self.turn, listener):
            raise KeyError(listener)

    def bind(self, int fd):
        """Take a bound socket that peers send to; return its number."""
        cdef uint64_t number = dp_turn_bind(self.turn, fd)
        if not number:
            PyErr_SetFromErrno(OSError)
        return number

    def bind_shared(self, int fd):
        """Take one that any number of flows share; return its number."""
        cdef uint64_t number = dp_turn_bind_shared(self.turn, fd)
        if not number:
            PyErr_SetFromErrno(OSError)
        return number

    def totals(self):
        """What the shared sockets hold and dropped, as turn.data_plane.SharedTotals has it."""
        cdef dp_shared_totals totals = dp_turn_totals(self.turn)
        return totals.pairs, totals.links, totals.unclaimed, totals.refused

    def release(self, uint64_t relay):
        """Close a relay socket."""
        if dp_turn_release(self.turn, relay):
            raise KeyError(relay)

    def answer(self, uint64_t listener, str host, int port, bytes message not None):
        """Send to a client; what goes to a closed listener is unsent."""
        cdef dp_addr to
        if self.turn is NULL:
            return
        to_addr(host, port, &to)
        dp_turn_answer(self.turn, listener, &to, message, len(message))

    def expire(self, double now):
        """Forget what is over and refill the budgets."""
        dp_turn_expire(self.turn, now)

    def open(self, uint64_t max_bps):
        """A flow without a client; its number."""
        cdef dp_flow *flow = dp_flow_open(self.turn, max_bps)
        if flow is NULL:
            raise MemoryError
        return dp_flow_number(flow)

    def set_udp(self, uint64_t flow, uint64_t listener, str host, int port):
        """Say where its client is. KeyError also if the listener is gone."""
        cdef dp_addr client
        to_addr(host, port, &client)
        if dp_flow_set_udp(self.find(flow), listener, &client):
            raise KeyError(listener)

    def set_python(self, uint64_t flow):
        """Its client's stream is Python's."""
        dp_flow_set_python(self.find(flow))

    def share(self, uint64_t flow, uint64_t max_peers):
        """Its relay sockets will be shared ones."""
        if dp_flow_share(self.find(flow), max_peers):
            raise MemoryError

    def add_relay(self, uint64_t flow, uint64_t relay):
        """Give it a relay socket."""
        if dp_flow_add_relay(self.find(flow), relay):
            raise KeyError(relay)

    def drop_relay(self, uint64_t flow, uint64_t relay):
        """Take one away."""
        if dp_flow_drop_relay(self.find(flow), relay):
            raise KeyError(relay)

    def close(self, uint64_t flow):
        """End it; its counters as turn.data_plane.Counters has them."""
        cdef dp_counters counters
        dp_flow_close(self.find(flow), &counters)
        return counted(&counters)

    def count(self, uint64_t flow):
        """Its counters as turn.data_plane.Counters has them."""
        cdef dp_counters counters
        dp_flow_count(self.find(flow), &counters)
        return counted(&counters)

    def permit(self, uint64_t flow, str host, str reached_at, tuple ports, double until):
        """Install or refresh a permission."""
        cdef dp_addr named, reached
        cdef dp_ports few[16]
        cdef dp_ports *ranges = few
        cdef int count = <int>len(ports)
        cdef int at, result
        to_addr(host, 0, &named)
        to_addr(reached_at, 0, &reached)
        if count > 16:
            ranges = <dp_ports *>PyMem_Malloc(count * sizeof(dp_ports))
            if ranges is NULL:
                raise MemoryError
        try:
            for at, (first, last) in enumerate(ports):
                ranges[at].first = first
                ranges[at].last = last
            result = dp_flow_permit(self.find(flow), &named, &reached, ranges, count, until)
        finally:
            if ranges is not few:
                PyMem_Free(ranges)
        if result:
            raise MemoryError

    def want(self, uint64_t flow, str reached_at, int port):
        """The client has named this peer."""
        cdef dp_addr target
        to_addr(reached_at, port, &target)
        dp_flow_want(self.find(flow), &target)

    def claim(self, uint64_t flow, str reached_at, int port):
        """Have a way to this peer; False if there is none."""
        cdef dp_addr target
        to_addr(reached_at, port, &target)
        return dp_flow_claim(self.find(flow), &target) == 0

    def bind_channel(self, uint64_t flow, uint16_t number, str host, int port, double until):
        """Install or refresh a channel. ValueError without a way or a permission."""
        cdef dp_addr peer
        to_addr(host, port, &peer)
        if dp_flow_bind_channel(self.find(flow), number, &peer, until):
            raise ValueError(f"the flow has no way to {host}, or no permission")

    def from_stream(self, uint64_t flow, bytes frame not None):
        """Forward a frame of a stream that Python reads; 0: of one without a flow."""
        dp_flow_from_client(self.turn, self.find(flow) if flow else NULL, frame, len(frame))
        dp_settle(self.core.plane)

    def send(self, uint64_t flow, str host, int port, bytes payload not None, bint dont_fragment):
        """Forward what a Send indication asks for; it may be late."""
        cdef dp_addr peer
        cdef dp_flow *found = dp_flow_find(self.turn, flow)
        if found is NULL:
            dp_turn_ignore(self.turn)
            return
        to_addr(host, port, &peer)
        dp_flow_send(found, &peer, payload, len(payload), dont_fragment)
        dp_settle(self.core.plane)
