"""
The HTTP interface of browsers, sans-IO: sessions with their mailboxes, ROAP, and a user agent.

To the B2BUA a signed-in browser is one more phone: it registers, calls and is rung by SIP messages
that never touch a wire. ``gateway`` is the whole; ``roap`` and ``texts`` are the codecs.
"""
