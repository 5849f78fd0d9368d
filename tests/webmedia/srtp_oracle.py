"""
SRTP as the RFCs write it, for known answers: nothing of libsrtp is used here.

Key derivation and AES-CM with HMAC-SHA1 are RFC 3711, AES-GCM is RFC 7714. The rollover counter
is 0 throughout.
"""

from __future__ import annotations

import hashlib
import hmac

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import CTR

RTP_KEY, RTP_AUTHENTICATION, RTP_SALT, RTCP_KEY, RTCP_AUTHENTICATION, RTCP_SALT = range(6)
"""Labels of RFC 3711, sections 4.3.1 and 4.3.2."""


def key_stream(key: bytes, initial: bytes, size: int) -> bytes:
    """AES in counter mode from this block on."""
    return Cipher(AES(key), CTR(initial)).encryptor().update(bytes(size))


def derive(master: bytes, salt: bytes, label: int, size: int) -> bytes:
    """A session key (RFC 3711, section 4.3.1); a salt of 96 bits gets two bytes of zero."""
    padded = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return key_stream(master, padded.to_bytes(14, "big") + b"\0\0", size)


def counter_block(salt: bytes, ssrc: bytes, index: int) -> bytes:
    """The IV of section 4.1.1."""
    number = int.from_bytes(salt, "big") << 16 ^ int.from_bytes(ssrc, "big") << 64 ^ index << 16
    return number.to_bytes(16, "big")


def xor(data: bytes, other: bytes) -> bytes:
    """Combine byte by byte."""
    return bytes(one ^ two for one, two in zip(data, other, strict=True))


def protect_cm(keys: bytes, packet: bytes, tag: int) -> bytes:
    """An RTP packet with a header of twelve bytes, by AES-CM and HMAC-SHA1."""
    master, salt = keys[:16], keys[16:]
    header, payload = packet[:12], packet[12:]
    session_salt = derive(master, salt, RTP_SALT, 14)
    block = counter_block(session_salt, header[8:12], int.from_bytes(header[2:4], "big"))
    stream = key_stream(derive(master, salt, RTP_KEY, 16), block, len(payload))
    sent = header + xor(payload, stream)
    secret = derive(master, salt, RTP_AUTHENTICATION, 20)
    return sent + hmac.digest(secret, sent + bytes(4), hashlib.sha1)[:tag]


def protect_cm_rtcp(keys: bytes, packet: bytes, index: int) -> bytes:
    """A compound RTCP packet, by AES-CM and a tag of 80 bits."""
    master, salt = keys[:16], keys[16:]
    header, payload = packet[:8], packet[8:]
    block = counter_block(derive(master, salt, RTCP_SALT, 14), header[4:8], index)
    stream = key_stream(derive(master, salt, RTCP_KEY, 16), block, len(payload))
    sent = header + xor(payload, stream) + (1 << 31 | index).to_bytes(4, "big")
    secret = derive(master, salt, RTCP_AUTHENTICATION, 20)
    return sent + hmac.digest(secret, sent, hashlib.sha1)[:10]


def gcm(key: bytes, salt: bytes, packet: bytes) -> bytes:
    """An RTP packet with a header of twelve bytes, by session key and salt (RFC 7714, 8.1)."""
    header, payload = packet[:12], packet[12:]
    nonce = xor(bytes(2) + header[8:12] + bytes(4) + header[2:4], salt)
    return header + AESGCM(key).encrypt(nonce, payload, header)


def gcm_rtcp(key: bytes, salt: bytes, packet: bytes, index: int) -> bytes:
    """A compound RTCP packet, by session key and salt (RFC 7714, 9.1)."""
    header, payload = packet[:8], packet[8:]
    word = (1 << 31 | index).to_bytes(4, "big")
    nonce = xor(bytes(2) + header[4:8] + bytes(2) + index.to_bytes(4, "big"), salt)
    return header + AESGCM(key).encrypt(nonce, payload, header + word) + word


def protect_gcm(keys: bytes, packet: bytes) -> bytes:
    """An RTP packet, by master key and salt."""
    master, salt = keys[:-12], keys[-12:]
    key = derive(master, salt, RTP_KEY, len(master))
    return gcm(key, derive(master, salt, RTP_SALT, 12), packet)


def protect_gcm_rtcp(keys: bytes, packet: bytes, index: int) -> bytes:
    """A compound RTCP packet, by master key and salt."""
    master, salt = keys[:-12], keys[-12:]
    key = derive(master, salt, RTCP_KEY, len(master))
    return gcm_rtcp(key, derive(master, salt, RTCP_SALT, 12), packet, index)
