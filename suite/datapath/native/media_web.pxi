# The transports of browsers and their sockets. Addresses are (host, port).

@cython.no_gc_clear
cdef class Transport:
    """The way of a browser's media, which several ends share."""

    cdef Core core
    cdef dp_transport *transport
    cdef object keys
    cdef object out

    def __cinit__(self, Core core):
        self.core = core
        self.transport = dp_transport_new(core.plane)
        if self.transport is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.transport is not NULL:
            dp_transport_free(self.transport)

    @property
    def handle(self):
        """What its events are about."""
        return self.transport.way.handle

    def set_ends(self, list ends, dict numbers):
        """Its ends, and which payload types are whose."""
        cdef int number
        cdef End end
        for number in range(128):
            end = numbers.get(number)
            self.transport.by_number[number] = NULL if end is None else end.end
        end = ends[0] if ends else None
        self.transport.first = NULL if end is None else end.end

    def set_keys(self, SrtpWays keys):
        """Encrypt and decrypt by these; None: nothing comes or goes."""
        if keys is None:
            memset(&self.transport.way.srtp, 0, sizeof(dp_srtp))
            self.transport.way.srtp.wanted = True
        else:
            self.transport.way.srtp = keys.srtp
        self.keys = keys

    def set_way(self, MediaSocket out, target):
        """Send there, from that socket; without one Python sends. None: nowhere."""
        cdef dp_latch *latch = &self.transport.way.latch
        latch.has_source = latch.has_target = target is not None
        if target is not None:
            to_addr(target[0], target[1], &latch.target)
            latch.source = latch.target
        self.transport.way.out = NULL if out is None else &out.socket.socket
        self.out = out

    def arrived(self, bytes data, double now):
        """RTP or RTCP of the peer came, but not by a socket of ours."""
        dp_transport_arrived(self.core.plane, self.transport, data, len(data), now)

    def drop(self, int why):
        """Count what came while there was no end to count it."""
        self.transport.dropped[why] += 1

    @property
    def dropped(self):
        """The same, by dp_drop."""
        return [self.transport.dropped[why] for why in range(DP_DROPS)]


@cython.no_gc_clear
cdef class MediaSocket:
    """A socket of a browser's transport."""

    cdef Core core
    cdef dp_web_socket *socket
    cdef Transport transport

    def __cinit__(self, Core core, int descriptor):
        """It is ours from now on. Raises OSError; then it is not."""
        self.core = core
        self.socket = dp_web_open(core.plane, descriptor)
        if self.socket is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        self._close()

    def close(self):
        """Nothing else may be called then."""
        self._close()

    cdef _close(self):
        if self.socket is not NULL:
            dp_web_close(self.core.plane, self.socket)
        self.socket = NULL

    @property
    def handle(self):
        """What its events are about."""
        return self.socket.handle

    def give_to(self, Transport transport):
        """Its packets are this one's from now on."""
        self.socket.transport = transport.transport
        self.transport = transport

    def set_valid(self, list places):
        """Whose media may come in here; nobody's where it is closed."""
        if self.socket is NULL:
            return
        cdef dp_addr *valid = <dp_addr *>PyMem_Malloc(max(1, len(places)) * sizeof(dp_addr))
        cdef int count = 0
        if valid is NULL:
            raise MemoryError
        try:
            for host, port in places:
                to_addr(host, port, &valid[count])
                count += 1
            if not dp_web_set_valid(self.socket, valid, count):
                raise MemoryError
        finally:
            PyMem_Free(valid)

    def put(self, bytes data, tuple target):
        """Send a datagram; tell whether it left."""
        cdef dp_addr addr
        if self.socket is NULL:
            return False
        to_addr(target[0], target[1], &addr)
        return dp_socket_put(self.core.plane, &self.socket.socket, &addr, data, len(data))
