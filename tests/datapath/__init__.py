"""Implementations of the data plane, on real sockets of the loopback interface."""
