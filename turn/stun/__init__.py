"""STUN messages, attributes, integrity and framing (RFC 8489, RFC 8656 sections 12 and 18)."""
