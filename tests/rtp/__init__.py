"""RTP and RTCP: formats, streams, reports, latches and ports."""
