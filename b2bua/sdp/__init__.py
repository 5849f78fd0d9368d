"""
Session descriptions (RFC 8866), offers and answers (RFC 3264, RFC 6337), codecs and hold.

``description`` keeps every line that came and writes it back; ``attributes`` reads the values that
mean something to us; ``offer_answer`` knows whose turn it is on one leg of a call. What is agreed
says nothing about sockets: ports, keys and candidates come from the caller.
"""
