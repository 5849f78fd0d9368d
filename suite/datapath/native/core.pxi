# Addresses, events and the wake-up itself.

from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.exc cimport PyErr_SetFromErrno

cdef extern from "<arpa/inet.h>" nogil:
    int inet_pton(int family, const char *text, void *to)
    const char *inet_ntop(int family, const void *of, char *to, uint32_t size)
    uint16_t htons(uint16_t value)
    uint16_t ntohs(uint16_t value)
    const int AF_INET
    const int AF_INET6
    const int INET6_ADDRSTRLEN

cdef extern from "<netinet/in.h>" nogil:
    cdef struct sockaddr:
        uint16_t sa_family
    cdef struct in_addr:
        uint32_t s_addr
    cdef struct in6_addr:
        uint8_t s6_addr[16]
    cdef struct sockaddr_in:
        uint16_t sin_family
        uint16_t sin_port
        in_addr sin_addr
    cdef struct sockaddr_in6:
        uint16_t sin6_family
        uint16_t sin6_port
        in6_addr sin6_addr
        uint32_t sin6_scope_id

cdef extern from "<net/if.h>" nogil:
    uint32_t if_nametoindex(const char *name)

cdef extern from "table.h" nogil:
    cdef union dp_addr:
        sockaddr sa
        sockaddr_in in_ "in"
        sockaddr_in6 in6

cdef extern from "plane.h" nogil:
    cdef struct dp_socket:
        int fd
    cdef struct dp_tally:
        uint64_t packets
        uint64_t octets
        uint64_t failed
    cdef struct dp_event:
        uint32_t kind
        uint32_t size
        uint64_t owner
        uint64_t more
        dp_addr sender "from"
        const uint8_t *data
    cdef struct dp_plane:
        int epoll
        double now
        dp_event *events
        int events_used
        int budget
        uint64_t budget_exhausted
        uint64_t untold
    dp_plane *dp_open()
    void dp_close(dp_plane *plane)
    int dp_drain(dp_plane *plane, double now)
    void dp_told(dp_plane *plane)
    void dp_flush(dp_plane *plane)
    void dp_settle(dp_plane *plane)


cdef int to_addr(str host, int port, dp_addr *addr) except -1:
    """Fill in a socket address. ValueError for a host that is no number."""
    cdef bytes text
    cdef bytes zone = b""
    memset(addr, 0, sizeof(dp_addr))
    if ":" in host:
        bare, _, scope = host.partition("%")
        text = bare.encode("ascii")
        addr.in6.sin6_family = AF_INET6
        addr.in6.sin6_port = htons(<uint16_t>port)
        if scope:
            zone = scope.encode("ascii")
            addr.in6.sin6_scope_id = int(scope) if scope.isdigit() else if_nametoindex(zone)
        if inet_pton(AF_INET6, text, &addr.in6.sin6_addr) != 1:
            raise ValueError(f"{host} is no IPv6 address")
        return 0
    text = host.encode("ascii")
    addr.in_.sin_family = AF_INET
    addr.in_.sin_port = htons(<uint16_t>port)
    if inet_pton(AF_INET, text, &addr.in_.sin_addr) != 1:
        raise ValueError(f"{host} is no IPv4 address")
    return 0


cdef object from_addr(const dp_addr *addr):
    """(host, port); a link-local host with the number of its zone. None where there is none."""
    cdef char text[64]
    cdef str host
    if addr.sa.sa_family == AF_INET:
        inet_ntop(AF_INET, &addr.in_.sin_addr, text, sizeof(text))
        return (<bytes>text).decode("ascii"), ntohs(addr.in_.sin_port)
    if addr.sa.sa_family == AF_INET6:
        inet_ntop(AF_INET6, &addr.in6.sin6_addr, text, sizeof(text))
        host = (<bytes>text).decode("ascii")
        if addr.in6.sin6_scope_id:
            host = f"{host}%{addr.in6.sin6_scope_id}"
        return host, ntohs(addr.in6.sin6_port)
    return None


cdef class Core:
    """The inner epoll descriptor and all sockets in it. Raises OSError if there can be none."""

    cdef dp_plane *plane

    def __cinit__(self):
        self.plane = dp_open()
        if self.plane is NULL:
            PyErr_SetFromErrno(OSError)

    def __dealloc__(self):
        if self.plane is not NULL:
            dp_close(self.plane)

    def fileno(self):
        """The one descriptor that the reactor watches."""
        return self.plane.epoll

    @property
    def budget_exhausted(self):
        """Wake-ups that left something for the next one."""
        return self.plane.budget_exhausted

    @property
    def budget(self):
        """Packets of one wake-up."""
        return self.plane.budget

    @budget.setter
    def budget(self, int packets):
        self.plane.budget = packets

    @property
    def untold(self):
        """Events that had no room."""
        return self.plane.untold

    def drain(self, double now):
        """
        One wake-up. ``now``: seconds of the clock that everything else has.

        Returns events as (kind, owner, more, (host, port) or None, bytes), most often none.
        """
        with nogil:
            dp_drain(self.plane, now)
        if not self.plane.events_used:
            return ()
        return self._take_events()

    def take_events(self):
        """What has gathered outside of a wake-up."""
        return self._take_events() if self.plane.events_used else ()

    cdef list _take_events(self):
        cdef dp_event *event
        cdef list events = []
        cdef int at
        for at in range(self.plane.events_used):
            event = &self.plane.events[at]
            events.append((
                event.kind,
                event.owner,
                event.more,
                from_addr(&event.sender),
                PyBytes_FromStringAndSize(<const char *>event.data, event.size),
            ))
        dp_told(self.plane)
        return events


cdef class Waker:
    """
    One Core's wake-ups as a callback without a frame of Python.

    ``seconds`` is asked for the time, ``told`` gets the events where there are any.
    """

    cdef Core core
    cdef object seconds
    cdef object told

    def __cinit__(self, Core core, seconds, told):
        self.core = core
        self.seconds = seconds
        self.told = told

    def wake(self):
        """One wake-up."""
        cdef double now = self.seconds()
        cdef dp_plane *plane = self.core.plane
        with nogil:
            dp_drain(plane, now)
        if plane.events_used:
            self.told(self.core._take_events())
