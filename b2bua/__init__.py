"""
The SIP back-to-back user agent and, later, the WebRTC gateway. Sans-IO.

``b2bua.sip`` is the stack: messages, transactions, dialogs, digest. No service uses it yet.
"""
