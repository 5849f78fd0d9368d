"""Browsers' media with keys in SDP (RFC 4568), beside or in the place of DTLS."""

from __future__ import annotations

from b2bua.sdp.attributes import Crypto
from b2bua.sdp.crypto import key_of, make_line
from b2bua.sdp.description import SessionDescription, parse
from b2bua.sdp.errors import SdpError
from b2bua.settings import DtlsSettings
from tests.b2bua.network import sdp
from tests.b2bua.test_web_leg_media import WebLegCase
from tests.sdp.browsers import said

SUITE = "AES_CM_128_HMAC_SHA1_80"
THEIRS = make_line(1, SUITE, b"k" * 30)
OTHER = make_line(1, SUITE, b"o" * 30)


def keyed(name: str, kind: str = "offer", line: Crypto | None = THEIRS) -> bytes:
    """What Chromium says, with keys of SDES in the place of its fingerprints."""
    lines = said("chromium", name, kind).decode().split("\r\n")
    found = []
    for text in lines:
        if text.startswith("a=fingerprint:"):
            found += [f"a=crypto:{line}"] if line else []
        elif not text.startswith("a=setup:"):
            found.append(text)
    return "\r\n".join(found).encode()


class SdesTests(WebLegCase):
    """Keys instead of a handshake."""

    def cryptos(self, description: SessionDescription) -> tuple[Crypto, ...]:
        """The lines of the first slot."""
        return description.media[0].cryptos

    def test_answer(self) -> None:
        """An offer with keys alone is answered with one, and no DTLS is begun."""
        answer = self.browser_calls(keyed("audio"))
        (ours,) = self.cryptos(answer)
        self.assertEqual((ours.tag, ours.suite), (1, SUITE))
        self.assertFalse(answer.media[0].has("fingerprint") or answer.media[0].has("setup"))
        remote = self.plane.only.remote
        assert remote.keys is not None
        self.assertEqual((remote.fingerprints, remote.keys.receives), ((), b"k" * 30))
        self.assertEqual(remote.keys.sends, key_of(ours))

    def test_answer_again(self) -> None:
        """A later offer with the same key keeps ours; another one makes another of ours."""
        first = self.cryptos(self.browser_calls(keyed("audio")))
        again = keyed("audio").replace(b" 2 IN IP4", b" 3 IN IP4").replace(b"sendrecv", b"inactive")
        self.assertEqual(self.cryptos(self.browser_calls(again)), first)
        other = keyed("audio", line=OTHER).replace(b" 2 IN IP4", b" 4 IN IP4")
        self.assertNotEqual(self.cryptos(self.browser_calls(other)), first)
        keys = self.plane.only.remote.keys
        self.assertEqual(keys and keys.receives, b"o" * 30)

    def test_dtls_is_better(self) -> None:
        """Where both are offered, DTLS is taken."""
        offer = said("chromium", "audio").replace(
            b"a=setup:", b"a=crypto:" + str(THEIRS).encode() + b"\r\na=setup:"
        )
        answer = self.browser_calls(offer)
        self.assertEqual(self.cryptos(answer), ())
        self.assertTrue(answer.media[0].has("fingerprint"))
        self.assertIsNone(self.plane.only.remote.keys)

    def test_not_accepted(self) -> None:
        """One option refuses them."""
        self.build(dtls=DtlsSettings(accepts_sdes=False))
        error = self.assertRaises(SdpError, self.web.take_offer, keyed("audio"))
        self.assertEqual((error.status, error.reason), (488, "encryption"))

    def test_useless_keys(self) -> None:
        """A suite that nobody here knows is as good as none."""
        strange = Crypto(1, "F8_128_HMAC_SHA1_80", THEIRS.keys)
        error = self.assertRaises(SdpError, self.web.take_offer, keyed("audio", line=strange))
        self.assertEqual(error.reason, "encryption")

    def offered(self) -> SessionDescription:
        """Our first offer."""
        self.phone.take_offer(sdp())
        return parse(self.web.offer(self.phone.offered))

    def test_offer_with_both(self) -> None:
        """Both are offered where that is wished; an answer with keys takes them."""
        self.build(dtls=DtlsSettings(offers_sdes=True))
        offer = self.offered()
        self.assertEqual(offer.media[0].line.protocol, "RTP/SAVPF")
        self.assertTrue(offer.media[0].has("fingerprint"))
        line = next(line for line in self.cryptos(offer) if line.suite == SUITE)
        theirs = make_line(line.tag, SUITE, b"t" * 30)
        answer = keyed("audio", "answer", theirs).replace(b"UDP/TLS/RTP", b"RTP")
        self.web.take_answer(answer)
        self.phone.answer(self.web.agreed)
        self.bridge()
        keys = self.plane.only.remote.keys
        assert keys is not None
        self.assertEqual((keys.sends, keys.receives), (key_of(line), b"t" * 30))
        again = parse(self.web.offer(self.phone.agreed))
        self.assertEqual(self.cryptos(again), self.cryptos(offer))
        self.assertFalse(again.media[0].has("fingerprint"))

    def test_keys_that_were_not_offered(self) -> None:
        """An answer with keys to an offer with a fingerprint alone would leave media clear."""
        self.offered()
        error = self.assertRaises(SdpError, self.web.take_answer, keyed("audio", "answer"))
        self.assertEqual(error.reason, "encryption")

    def test_without_dtls(self) -> None:
        """Switched off, there are keys only, and who has none is refused."""
        self.build(dtls=DtlsSettings(enabled=False))
        offer = self.offered()
        self.assertFalse(offer.media[0].has("fingerprint") or offer.media[0].has("setup"))
        self.assertTrue(self.cryptos(offer))
        self.build(dtls=DtlsSettings(enabled=False))
        error = self.assertRaises(SdpError, self.web.take_offer, said("chromium", "audio"))
        self.assertEqual(error.reason, "encryption")
