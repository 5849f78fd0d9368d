"""SIP (RFC 3261) without a socket or a clock: syntax first, then transactions and dialogs."""
