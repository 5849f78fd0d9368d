"""The TCP listeners, from the first bytes to the stream of a client."""
