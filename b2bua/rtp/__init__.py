"""
RTP and RTCP (RFC 3550) of a bridge between two legs, without a socket or a clock.

``packet`` and ``rtcp`` are the formats; ``stream`` renumbers what is forwarded and measures what
is received; ``reports`` says and reads RTCP; ``latch`` knows whom an end believes, ``ports`` which
pair of ports comes next. Absent: SRTP, jitter buffers, mixing, header extensions.
"""
