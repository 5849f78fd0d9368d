"""
The gateway against a client of the historic protocol that knows nothing of the gateway's code.

The client says on the wire what the old JavaScript client says in Chromium and in Firefox of
today, quirks included; what it tolerates is what that one tolerates.
"""
