"""Sockets, streams, TLS and name look-ups for ``b2bua``: the only part of it that knows Twisted."""
