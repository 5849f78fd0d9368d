"""Implementations of the data plane that ``turn.data_plane`` describes."""
