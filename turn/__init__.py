"""
STUN and TURN: RFC 8489 and RFC 8656, without sockets, clocks or a reactor of their own.

``turn.stun`` is the codec, ``turn.server`` the relay's rules; both are pure. Only ``turn.net``
touches Twisted. What the relay needs from outside it names itself, as a Protocol:
``turn.data_plane.DataPlane`` moves the packets.
"""
