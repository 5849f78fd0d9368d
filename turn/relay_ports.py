"""
The relay ports of one address: handed out in random order, rested before they are used again.

A port that was given back may still be known to a peer of the last user, so it rests for two
minutes (RFC 8656, section 8) unless nothing else is left; then the longest rested one serves.
A port that another program holds is put aside and is not tried again before its rest is over.
No socket here: whoever takes a port binds it, and says ``withdraw`` if it could not.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable

_HIGHEST_PORT = 65535
_ABSENT = 0xFFFF
_OUT, _READY, _RESTING, _WITHDRAWN = range(4)


class NoPorts(Exception):
    """No port (or no pair of ports) is left."""


class _Bag:
    """A set of numbers below ``size`` that gives a random member in constant time."""

    def __init__(self, size: int) -> None:
        self._members = array("H")
        self._position = array("H", [_ABSENT]) * size

    def __len__(self) -> int:
        return len(self._members)

    def __contains__(self, number: int) -> bool:
        return self._position[number] != _ABSENT

    def __getitem__(self, position: int) -> int:
        return self._members[position]

    def add(self, number: int) -> None:
        if number not in self:
            self._position[number] = len(self._members)
            self._members.append(number)

    def discard(self, number: int) -> None:
        if number in self:
            position = self._position[number]
            last = self._members.pop()
            self._position[number] = _ABSENT
            if last != number:
                self._members[position] = last
                self._position[last] = position


class RelayPorts:
    """
    The ports from ``first`` to ``last`` of one relay address.

    ``randbelow`` must be unpredictable: who guesses the next port can send to it before its
    owner's peers do. ``now`` is monotonic. Every port that was taken comes back by exactly one
    ``give_back`` or ``withdraw``; giving back a port that is not out is an error of the caller.
    """

    def __init__(
        self, first: int, last: int, randbelow: Callable[[int], int], rest: float = 120.0
    ) -> None:
        if not 1 <= first <= last <= _HIGHEST_PORT:
            raise ValueError(f"no port range: {first}-{last}")
        self._first, self._last = first, last
        self._randbelow = randbelow
        self._rest = rest
        self._now = 0.0
        size = last - first + 1
        self._state = bytearray([_OUT]) * size
        # By parity of the port, so that an even one is found without a search.
        self._ready = (_Bag(size), _Bag(size))
        self._resting: tuple[OrderedDict[int, float], ...] = (OrderedDict(), OrderedDict())
        self._withdrawn: OrderedDict[int, float] = OrderedDict()
        # Even ports whose neighbour can be had too: at once, and with the resting ones.
        self._ready_pairs = _Bag(size)
        self._pairs = _Bag(size)
        for port in range(first, last + 1):
            self._make_ready(port)

    def __contains__(self, port: int) -> bool:
        """Whether the port belongs to the range, in whatever state it is."""
        return self._first <= port <= self._last

    @property
    def free(self) -> int:
        """How many ports can be taken now, those at rest included."""
        return sum(map(len, self._ready)) + sum(map(len, self._resting))

    def take(self, now: float) -> int:
        """Take any port. Raises NoPorts."""
        self._advance(now)
        even, odd = self._ready
        if even or odd:
            choice = self._randbelow(len(even) + len(odd))
            offset = even[choice] if choice < len(even) else odd[choice - len(even)]
            return self._take(self._first + offset)
        rested = [queue for queue in self._resting if queue]
        if not rested:
            raise NoPorts
        return self._take(min((next(iter(queue.items())) for queue in rested), key=_until)[0])

    def take_even(self, now: float) -> int:
        """Take an even port, leaving its neighbour alone (EVEN-PORT with R = 0). Raises NoPorts."""
        self._advance(now)
        even = self._ready[0]
        if even:
            return self._take(self._first + even[self._randbelow(len(even))])
        if not self._resting[0]:
            raise NoPorts
        return self._take(next(iter(self._resting[0])))

    def take_pair(self, now: float) -> int:
        """Take an even port and the odd one above it; give the even one. Raises NoPorts."""
        self._advance(now)
        if self._ready_pairs:
            choice = self._randbelow(len(self._ready_pairs))
            port = self._first + self._ready_pairs[choice]
        elif self._pairs:
            port = self._longest_rested_pair()
        else:
            raise NoPorts
        self._take(port + 1)
        return self._take(port)

    def give_back(self, port: int, now: float) -> None:
        """Let a port rest that was taken."""
        if port not in self or self._state[port - self._first] != _OUT:
            raise ValueError(f"relay port {port} was not taken")
        self._advance(now)
        self._resting[port & 1][port] = self._now + self._rest
        self._enter(port, _RESTING)

    def withdraw(self, port: int) -> None:
        """
        Put a port aside that another program holds.

        It was seen busy at the time of the last call, and is not taken again before its rest is
        over, even if nothing else is left: else a caller that tries port after port never ends.
        """
        if port not in self:
            raise ValueError(f"{port} is no relay port")
        self._leave(port)
        self._withdrawn[port] = self._now + self._rest
        self._enter(port, _WITHDRAWN)

    def _take(self, port: int) -> int:
        self._leave(port)
        self._enter(port, _OUT)
        return port

    def _longest_rested_pair(self) -> int:
        # Looks through the pairs that are left. It is reached only when one can be given, so a
        # client that keeps asking in vain costs nothing.
        def ready_at(port: int) -> float:
            even, odd = self._resting
            return max(even.get(port, 0.0), odd.get(port + 1, 0.0))

        left = (self._first + self._pairs[index] for index in range(len(self._pairs)))
        return min(left, key=ready_at)

    def _advance(self, now: float) -> None:
        """Make ready what has rested long enough."""
        self._now = now
        for queue in (*self._resting, self._withdrawn):
            while queue:
                port, until = next(iter(queue.items()))
                if until > now:
                    break
                self._leave(port)
                self._make_ready(port)

    def _make_ready(self, port: int) -> None:
        self._ready[port & 1].add(port - self._first)
        self._enter(port, _READY)

    def _leave(self, port: int) -> None:
        """Take the port out of whatever holds it."""
        self._ready[port & 1].discard(port - self._first)
        self._resting[port & 1].pop(port, None)
        self._withdrawn.pop(port, None)

    def _enter(self, port: int, state: int) -> None:
        """Note the port's new state, and what it means for its pair."""
        self._state[port - self._first] = state
        even = port & ~1
        if even not in self or even + 1 not in self:
            return
        states = {self._state[even - self._first], self._state[even + 1 - self._first]}
        _hold(self._ready_pairs, even - self._first, states == {_READY})
        _hold(self._pairs, even - self._first, states <= {_READY, _RESTING})


def _hold(bag: _Bag, number: int, wanted: bool) -> None:
    if wanted:
        bag.add(number)
    else:
        bag.discard(number)


def _until(waiting: tuple[int, float]) -> float:
    return waiting[1]
