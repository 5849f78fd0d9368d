"""
The suite beside coturn: the same clients and the same bytes put to both.

Whatever stands in docs/ as a result of such a run is written by `make interop`.
"""
