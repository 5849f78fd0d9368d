"""
The SIP back-to-back user agent and, later, the WebRTC gateway. Sans-IO but for ``b2bua.net``.

``b2bua.sip`` is the stack, ``b2bua.sdp`` what sessions are about, ``b2bua.rtp`` their media; beside
them stand the pair of SIP Servers (``upstreams``), registration and DN patterns.
"""
