"""
The DN that a URI names, however it is spelled.

Whether it is one of ours, and whether it consists of digits, is not asked here: a user of a web
page may have a name.
"""

from __future__ import annotations

from typing import Final

from b2bua.dial_numbers import LONGEST_DN
from b2bua.sip.uri import SipUri, TelUri, Uri

_SEPARATORS: Final = str.maketrans("", "", "-.()")


def dn_of(uri: Uri) -> str:
    """
    Return the DN of a SIP, SIPS or tel URI, or "" where there is none that could be one.

    Escapes are undone, so ``%31001`` is ``1001``; a user that is said to be a telephone number
    loses its visual separators and its parameters, as the number of a tel URI does.
    """
    if isinstance(uri, TelUri):
        dn = uri.digits
    elif isinstance(uri, SipUri):
        dn = uri.user_text
        if uri.parameters.get("user", "").lower() == "phone":
            dn = dn.partition(";")[0].translate(_SEPARATORS)
    else:
        return ""
    return dn if len(dn) <= LONGEST_DN and dn.isprintable() else ""
