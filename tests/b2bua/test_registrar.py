"""Tests of b2bua.registrar."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call_events import Event, PhoneBound, PhoneGone, PhoneRefused
from b2bua.dial_numbers import parse_dial_numbers
from b2bua.dn import dn_of
from b2bua.registrar import Headers, Registrar, RegistrarOutput, SignIn, SignOut
from b2bua.settings import PhoneSettings
from b2bua.sip.errors import ParseError
from b2bua.sip.headers import parse_name_addr
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request
from b2bua.sip.parser import parse_datagram
from b2bua.sip.uri import parse_uri
from tests.b2bua.phones import NAT, PHONE, TCP, UDP, WSS, register
from tests.sip import torture

NOW = 1000.1
INSTANCE = '+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"'
OTHER_INSTANCE = INSTANCE.replace("e128", "e129")


class Case:
    """A registrar, and what it told."""

    def __init__(self, limit: int = 100, **settings: int) -> None:
        self.events: list[Event] = []
        self.registrar = Registrar(
            PhoneSettings(**settings),
            parse_dial_numbers("1000-1999").matches,
            self.events.append,
            limit,
        )

    def register(
        self, request: Request, hop: Hop = UDP, now: float = NOW, user: str | None = None
    ) -> tuple[int, Headers]:
        return self.registrar.register(request, hop, now, user)

    def status(
        self, request: Request, hop: Hop = UDP, now: float = NOW, user: str | None = None
    ) -> int:
        return self.register(request, hop, now, user)[0]

    def contacts(self, dn: str = "1001", now: float = NOW) -> list[str]:
        return [str(binding.uri) for binding in self.registrar.bindings(dn, now)]

    def take(self) -> list[RegistrarOutput]:
        return self.registrar.take_outputs()


def expiries(headers: Headers) -> dict[str, int | None]:
    """What the Contacts of a 200 say, by URI."""
    contacts = [parse_name_addr(value) for name, value in headers if name == "Contact"]
    return {str(contact.uri): contact.expires for contact in contacts}


class BindTests(SynchronousTestCase):
    """What is bound, and for how long."""

    def test_first(self) -> None:
        """The first contact of a DN is listed with its expiry, and the DN signs in."""
        case = Case()
        status, headers = case.register(register(PHONE, expires=120))
        self.assertEqual((status, expiries(headers)), (200, {"sip:1001@192.0.2.50:5060": 120}))
        self.assertEqual(case.take(), [SignIn("1001")])
        self.assertEqual(case.events, [PhoneBound("1001", UDP)])
        self.assertNotIn("Date", dict(headers))

    def test_way_back(self) -> None:
        """A call goes back to where the REGISTER came from, with the Contact as it was."""
        for hop in (UDP, NAT, TCP, WSS):
            case = Case()
            case.register(register("<sip:x7Qk@10.0.0.3:5062;transport=ws>"), hop)
            (binding,) = case.registrar.bindings("1001", NOW)
            self.assertEqual(binding.hop, hop)
            self.assertEqual(str(binding.uri), "sip:x7Qk@10.0.0.3:5062;transport=ws")

    def test_expiry(self) -> None:
        """A contact's own expiry counts before the header's; each is cut to what is allowed."""
        settings = {"shortest_expires": 60, "longest_expires": 1800}
        for contact, header, granted in (
            (PHONE, None, 1800),
            (PHONE, 600, 600),
            (PHONE + ";expires=90", 600, 90),
            (PHONE + ";expires=60", None, 60),
            (PHONE + ";EXPIRES=90", 600, 90),
            (PHONE + ";expires=7200", 600, 1800),
            (PHONE + ";expires=4294967295", 600, 1800),
            (PHONE + ";expires=soon", 600, 1800),
        ):
            with self.subTest(contact=contact, header=header):
                _, headers = Case(**settings).register(register(contact, expires=header))
                self.assertEqual(list(expiries(headers).values()), [granted])

    def test_too_brief(self) -> None:
        """Less than the shortest expiry is 423 with what would do, and binds nothing."""
        for contacts, header in (
            ((PHONE,), 59),
            ((PHONE + ";expires=1",), 600),
            ((PHONE, "<sip:1001@192.0.2.51>;expires=10"), 600),
        ):
            case = Case()
            answer = case.register(register(*contacts, expires=header))
            self.assertEqual(answer, (423, [("Min-Expires", "60")]))
            self.assertEqual((len(case.registrar), case.take()), (0, []))
            self.assertEqual(case.events, [PhoneRefused(UDP, 423, "too-brief")])

    def test_expires(self) -> None:
        """When its time is over a binding is gone, and the DN signs out; no sooner."""
        case = Case()
        case.register(register(PHONE, expires=60))
        case.take()
        self.assertEqual(case.registrar.next_timeout(), NOW + 60)
        case.registrar.handle_timeout(NOW + 59.9)
        self.assertEqual((len(case.registrar), case.take()), (1, []))
        self.assertEqual(case.contacts(now=NOW + 60), [])
        case.registrar.handle_timeout(NOW + 60)
        self.assertEqual((len(case.registrar), case.take()), (0, [SignOut("1001")]))
        self.assertEqual(case.events[1:], [PhoneGone("1001", "expired")])
        self.assertIsNone(case.registrar.next_timeout())

    def test_refresh(self) -> None:
        """A refresh moves the end, and nobody hears of it."""
        case = Case()
        for turn in range(3):
            request = register(PHONE, expires=60, sequence=turn + 1)
            _, headers = case.register(request, now=NOW + 50 * turn)
        self.assertEqual(list(expiries(headers).values()), [60])
        self.assertEqual(case.take(), [SignIn("1001")])
        self.assertEqual(len(case.events), 1)
        self.assertEqual(case.registrar.next_timeout(), NOW + 160)

    def test_query(self) -> None:
        """Without a Contact, a REGISTER only asks what is bound."""
        case = Case()
        self.assertEqual(case.register(register()), (200, []))
        case.register(register(PHONE, expires=100))
        _, headers = case.register(register(sequence=2), now=NOW + 30)
        self.assertEqual(list(expiries(headers).values()), [70])

    def test_two_phones(self) -> None:
        """Two phones share a DN: both are called, and it signs out with the second one."""
        case = Case()
        case.register(register(PHONE + ";q=0.5", expires=60))
        status, headers = case.register(
            register("<sip:1001@192.0.2.51>", expires=120, call_id="other"), TCP
        )
        self.assertEqual((status, len(expiries(headers))), (200, 2))
        self.assertEqual(case.take(), [SignIn("1001")])
        self.assertEqual(case.contacts(), ["sip:1001@192.0.2.51", "sip:1001@192.0.2.50:5060"])
        case.registrar.handle_timeout(NOW + 60)
        self.assertEqual((case.contacts(), case.take()), (["sip:1001@192.0.2.51"], []))
        case.registrar.flow_lost(TCP, NOW + 61)
        self.assertEqual((case.contacts(), case.take()), ([], [SignOut("1001")]))

    def test_outside_the_list(self) -> None:
        """A DN that is not registered with the servers is bound all the same, without sign-in."""
        case = Case()
        case.register(register("<sip:alice@192.0.2.50>", dn="alice"))
        self.assertEqual((case.contacts("alice"), case.take()), (["sip:alice@192.0.2.50"], []))
        case.register(register("*", expires=0, dn="alice", sequence=2))
        self.assertEqual((len(case.registrar), case.take()), (0, []))

    def test_path(self) -> None:
        """A Path is kept for calls, and repeated to a phone that understands it."""
        lines = ("Path: <sip:edge.example.com;lr>, <sip:core.example.com;lr>", "Require: path")
        for supported, expected in (
            ((), []),
            (("Supported: PATH, gruu",), [("Path", lines[0][6:])]),
        ):
            case = Case()
            _, headers = case.register(register(PHONE, lines=lines + supported))
            self.assertEqual([pair for pair in headers if pair[0] == "Path"], expected)
            (binding,) = case.registrar.bindings("1001", NOW)
            self.assertEqual(
                binding.path, ("<sip:edge.example.com;lr>", "<sip:core.example.com;lr>")
            )


class IdentityTests(SynchronousTestCase):
    """Whose bindings they are."""

    def test_spellings(self) -> None:
        """A DN is the same however it is spelled."""
        for uri, dn in (
            ("sip:1001@pbx.example.com", "1001"),
            ("SIP:1001@192.0.2.1:5070;transport=tcp", "1001"),
            ("sip:%31001@pbx.example.com", "1001"),
            ("sips:1001@pbx.example.com", "1001"),
            ("sip:1001:secret@pbx.example.com", "1001"),
            ("tel:1001", "1001"),
            ("tel:+1-201-555-0123;phone-context=x", "+12015550123"),
            ("sip:+1-201-555-0123;isub=1@gw.example.com;user=PHONE", "+12015550123"),
            ("sip:10-01@pbx.example.com", "10-01"),
            ("sip:003000@pbx.example.com", "003000"),
            ("sip:Alice@pbx.example.com", "Alice"),
            ("sip:pbx.example.com", ""),
            ("http://www.example.com", ""),
            ("sip:a%00b@example.com", ""),
            ("sip:a%0D%0Ab@example.com", ""),
            (f"sip:{'1' * 65}@example.com", ""),
        ):
            with self.subTest(uri):
                self.assertEqual(dn_of(parse_uri(uri)), dn)

    def test_one_dn(self) -> None:
        """Bindings under each spelling are those of one DN, and its user may make them."""
        case = Case()
        for number, to in enumerate(
            ("<sip:%31001@pbx.example.com>", "<sips:1001@192.0.2.1>", "tel:1001"), start=1
        ):
            request = register(PHONE, to=to, from_="<sip:1001@pbx.example.com>", sequence=number)
            self.assertEqual(case.status(request, user="1001"), 200)
        self.assertEqual(len(case.registrar), 1)

    def test_refused(self) -> None:
        """A DN is registered by itself, as the user that has proved to be it."""
        other = "<sip:1002@pbx.example.com>"
        for request, user, status, reason in (
            (register(PHONE, to=other), None, 403, "third-party"),
            (register(PHONE, from_=other), "1001", 403, "third-party"),
            (register(PHONE), "1002", 403, "other-user"),
            (register("*", expires=0), "1002", 403, "other-user"),
            (register(), "1002", 403, "other-user"),
            (register(PHONE, to="<sip:pbx.example.com>"), None, 404, "no-dn"),
            (register(PHONE, to="<http://www.example.com>"), None, 404, "no-dn"),
            (register(PHONE, lines=("Require: path, Frob",)), None, 420, "extension"),
            (register(PHONE, lines=("Path: nowhere",)), None, 400, "malformed"),
            (register(PHONE + ";q=7"), None, 400, "malformed"),
            (register("<tel:1001>"), None, 400, "contact"),
            (register(f"<sip:1001@{'a' * 3000}>"), None, 400, "too-long"),
        ):
            case = Case()
            self.assertEqual(case.status(request, user=user), status)
            self.assertEqual(case.events, [PhoneRefused(UDP, status, reason)])
            self.assertEqual(len(case.registrar), 0)

    def test_unsupported(self) -> None:
        """What was required and is unknown is named; outbound is let pass."""
        request = register(PHONE, lines=("Require: Frob, outbound, gruu",))
        self.assertEqual(Case().register(request), (420, [("Unsupported", "frob, gruu")]))
        self.assertEqual(Case().status(register(PHONE, lines=("Require: outbound",))), 200)


class UnbindTests(SynchronousTestCase):
    """What ends bindings before their time."""

    def test_one(self) -> None:
        """A contact with an expiry of 0 goes, and no other; one that is not there is no error."""
        case = Case()
        case.register(register(PHONE, "<sip:1001@192.0.2.51>"))
        _, headers = case.register(register(PHONE + ";expires=0", sequence=2))
        self.assertEqual(list(expiries(headers)), ["sip:1001@192.0.2.51"])
        self.assertEqual(case.events[2:], [PhoneGone("1001", "signed-out")])
        self.assertEqual(case.status(register(PHONE, expires=0, sequence=3)), 200)
        case.register(register("<SIP:%31001@192.0.2.51>", expires=0, sequence=4))
        self.assertEqual(case.take(), [SignIn("1001"), SignOut("1001")])

    def test_all(self) -> None:
        """``*`` with an Expires of 0 ends every binding of the DN, and of no other."""
        case = Case()
        case.register(register(PHONE, "<sip:1001@192.0.2.51>"))
        case.register(register("<sip:1002@192.0.2.52>", dn="1002"))
        self.assertEqual(case.register(register("*", expires=0, sequence=2)), (200, []))
        self.assertEqual((case.contacts(), len(case.registrar)), ([], 1))
        self.assertEqual(case.take(), [SignIn("1001"), SignIn("1002"), SignOut("1001")])

    def test_not_all(self) -> None:
        """``*`` with anything but an Expires of 0 is 400 and changes nothing."""
        case = Case()
        case.register(register(PHONE))
        for expires in (None, 60):
            self.assertEqual(case.status(register("*", expires=expires, sequence=2)), 400)
        self.assertEqual(len(case.registrar), 1)

    def test_flow_lost(self) -> None:
        """With a connection all that was bound over it ends, whatever the DN, and nothing else."""
        case = Case()
        case.register(register(PHONE), TCP)
        case.register(register("<sip:1002@192.0.2.50>", dn="1002"), TCP)
        next_one = Hop(TCP.transport, TCP.host, TCP.port, flow=99)
        case.register(register("<sip:1003@192.0.2.50>", dn="1003"), next_one)
        case.take()
        self.assertEqual(set(case.registrar.dns_of(TCP)), {"1001", "1002"})
        case.registrar.flow_lost(TCP, NOW)
        self.assertEqual(case.take(), [SignOut("1001"), SignOut("1002")])
        self.assertEqual(
            case.events[3:], [PhoneGone(dn, "connection-lost") for dn in ("1001", "1002")]
        )
        self.assertEqual((set(case.registrar.dns_of(TCP)), len(case.registrar)), (set(), 1))
        case.registrar.flow_lost(TCP, NOW)

    def test_datagrams(self) -> None:
        """Datagrams have no connection to lose; their source is one, whichever socket it met."""
        case = Case()
        case.register(register(PHONE), NAT)
        case.registrar.flow_lost(NAT, NOW)
        other_socket = Hop(NAT.transport, NAT.host, NAT.port, flow=2)
        self.assertEqual(set(case.registrar.dns_of(other_socket)), {"1001"})
        self.assertEqual(set(case.registrar.dns_of(UDP)), set())
        self.assertEqual(len(case.registrar), 1)


class OrderTests(SynchronousTestCase):
    """Requests that come late (section 10.3, steps 6 and 7)."""

    def test_late(self) -> None:
        """With the Call-ID of a binding and no higher number, nothing changes: 500."""
        for late in (
            register(PHONE, expires=0, sequence=5),
            register(PHONE, expires=600, sequence=4),
            register("*", expires=0, sequence=4),
            register("<sip:1001@192.0.2.99>", PHONE, expires=600, sequence=4),
        ):
            case = Case()
            case.register(register(PHONE, expires=100, sequence=5))
            self.assertEqual(case.status(late), 500)
            self.assertEqual(case.events[1:], [PhoneRefused(UDP, 500, "order")])
            self.assertEqual(case.registrar.next_timeout(), NOW + 100)

    def test_restarted(self) -> None:
        """Another Call-ID, or another connection, has an order of its own."""
        case = Case()
        case.register(register(PHONE, sequence=5), TCP)
        self.assertEqual(case.status(register(PHONE, sequence=1, call_id="new"), TCP), 200)
        again = Hop(TCP.transport, TCP.host, 50_001, flow=12)
        self.assertEqual(case.status(register(PHONE, sequence=1, call_id="new"), again), 200)
        self.assertEqual([b.hop for b in case.registrar.bindings("1001", NOW)], [again])


class RoomTests(SynchronousTestCase):
    """How many there may be."""

    def test_same_instance(self) -> None:
        """A phone that comes back from another port takes the place of what it had."""
        case = Case()
        case.register(register(f"{PHONE};{INSTANCE}"))
        case.register(register(f"<sip:1001@192.0.2.60>;{OTHER_INSTANCE}", call_id="other"))
        moved = Hop("UDP", "192.0.2.50", 5071, flow=1)
        request = register(f"<sip:1001@192.0.2.50:5071>;{INSTANCE};reg-id=1", call_id="new")
        _, headers = case.register(request, moved)
        self.assertEqual(case.contacts(), ["sip:1001@192.0.2.50:5071", "sip:1001@192.0.2.60"])
        self.assertTrue(headers[-1][1].endswith(f";{INSTANCE};reg-id=1;expires=3600"))
        self.assertEqual(
            case.events[2:], [PhoneGone("1001", "replaced"), PhoneBound("1001", moved)]
        )
        self.assertEqual(case.take(), [SignIn("1001")])

    def test_same_place(self) -> None:
        """One that only makes up a new user takes its own place too, without an instance."""
        case = Case()
        case.register(register("<sip:aaaa@192.0.2.50:5060>"))
        case.register(register("<sip:bbbb@192.0.2.50:5060>", call_id="new"))
        self.assertEqual(case.contacts(), ["sip:bbbb@192.0.2.50:5060"])
        case.register(register("<sip:cccc@192.0.2.50:5060>", call_id="c"), NAT)
        self.assertEqual(len(case.registrar), 2)

    def test_behind_a_proxy(self) -> None:
        """Phones behind one proxy, which gives a Path, keep their places."""
        case = Case()
        for number in range(3):
            path = (f"Path: <sip:p{number}@edge.example.com;lr>",)
            case.register(
                register(f"<sip:{number}@10.0.0.1>", call_id=f"{number}", lines=path), NAT
            )
        self.assertEqual(len(case.contacts()), 3)

    def test_oldest_goes(self) -> None:
        """Where a DN has too many contacts, the oldest of the same way goes, or of any."""
        case = Case(most_contacts=3)
        for number, hop in enumerate((UDP, TCP, TCP)):
            case.register(register(f"<sip:{number}@10.0.0.{number}>", call_id=f"{number}"), hop)
        case.register(register("<sip:3@10.0.0.3>", call_id="3"), TCP)
        self.assertEqual(case.contacts(), [f"sip:{n}@10.0.0.{n}" for n in (3, 2, 0)])
        case.register(register("<sip:4@10.0.0.4>", call_id="4"), WSS)
        self.assertEqual(case.contacts(), [f"sip:{n}@10.0.0.{n}" for n in (4, 3, 2)])
        self.assertEqual(case.take(), [SignIn("1001")])

    def test_refresh_makes_young(self) -> None:
        """A contact that is refreshed is not the oldest any more."""
        case = Case(most_contacts=2)
        for contact, sequence in (("a", 1), ("b", 1), ("a", 2), ("c", 1)):
            hop = Hop("UDP", "192.0.2.50", 5000 + ord(contact), flow=1)
            case.register(register(f"<sip:{contact}@h>", call_id=contact, sequence=sequence), hop)
        self.assertEqual(case.contacts(), ["sip:c@h", "sip:a@h"])

    def test_too_many_at_once(self) -> None:
        """More contacts in one request than a DN may have are refused."""
        case = Case(most_contacts=2)
        contacts = [f"<sip:{number}@h>" for number in range(3)]
        self.assertEqual(case.status(register(*contacts)), 403)
        self.assertEqual(len(case.registrar), 0)

    def test_named_twice(self) -> None:
        """Of a contact that stands twice in a request, the last word counts."""
        case = Case()
        _, headers = case.register(register(PHONE + ";expires=60", PHONE + ";expires=90"))
        self.assertEqual(list(expiries(headers).values()), [90])
        case.register(register(PHONE + ";expires=60", PHONE + ";expires=0", sequence=2))
        self.assertEqual((case.contacts(), len(case.events)), ([], 2))

    def test_full(self) -> None:
        """With as many bindings as there may be, a new one gets 503; the others go on."""
        case = Case(limit=2)
        for number in (1001, 1002):
            case.register(register(f"<sip:{number}@h>", dn=str(number)))
        answer = case.register(register("<sip:1003@h>", dn="1003"))
        self.assertEqual(answer, (503, [("Retry-After", "30")]))
        self.assertEqual(case.status(register("<sip:1001@h>", dn="1001", sequence=2)), 200)
        case.register(register("*", expires=0, dn="1001", sequence=3))
        self.assertEqual(case.status(register("<sip:1003@h>", dn="1003")), 200)

    def test_nothing_stays(self) -> None:
        """When 10,000 phones have come and gone, nothing is left of them."""
        case = Case(limit=10_000)
        for number in range(10_000):
            hop = Hop("UDP", f"10.0.{number >> 8}.{number & 255}", 5060, flow=1)
            dn = str(10_000 + number)
            assert case.status(register(f"<sip:{dn}@h>", dn=dn, expires=100), hop) == 200
        case.registrar.handle_timeout(NOW + 100)
        bindings = case.registrar._bindings
        self.assertEqual(len(bindings), 0)
        self.assertEqual((bindings._by_dn, bindings._by_flow), ({}, {}))


REGISTERS = []
for rfc in ("rfc4475", "rfc5118"):
    for name in torture.names(rfc):
        try:
            message = parse_datagram(torture.read(rfc, name))
        except ParseError:
            continue
        if isinstance(message, Request):
            REGISTERS.append(message)

_values = st.sampled_from(
    [
        *(value for message in REGISTERS for _, value in message.headers),
        "*",
        "<sip:1001@h>;q=9",
        "<sip:1001@[::1]>;+sip.instance=;reg-id=x",
        '<sip:1001@h>;expires="1"',
        "0",
        "",
        ",",
    ]
)


class TortureTests(SynchronousTestCase):
    """Whatever the parser lets through is answered."""

    @given(
        st.sampled_from(REGISTERS),
        st.lists(
            st.tuples(
                st.sampled_from(
                    ["Contact", "Path", "Require", "Supported", "Expires", "To", "From"]
                ),
                _values,
            ),
            max_size=5,
        ),
        st.sampled_from([UDP, NAT, TCP]),
    )
    def test_never_raises(self, message: Request, changes: list[tuple[str, str]], hop: Hop) -> None:
        """Torture messages as they are, or with values from others, have a status and headers."""
        request = Request("REGISTER", message.uri, message.headers)
        for name, value in changes:
            request.replace(name, value)
        registrar = Case().registrar
        for turn in range(2):
            status, headers = registrar.register(request, hop, NOW + turn)
            self.assertIn(status, (200, 400, 403, 404, 420, 423, 500, 503))
            request.response(status, headers=headers).render()
