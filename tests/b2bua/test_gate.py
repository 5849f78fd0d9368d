"""Tests of b2bua.gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua import gate as rules
from b2bua.call_events import Event, PhoneRefused
from b2bua.gate import Answer, Drop, Gate, Pass, Verdict
from b2bua.registrar import Registrar
from b2bua.settings import Network, PhoneSettings
from b2bua.sip.dialog import DialogTable, dialog_of_request
from b2bua.sip.digest import Algorithm, DigestClient, Login
from b2bua.sip.errors import ParseError
from b2bua.sip.grammar import quote
from b2bua.sip.headers import parse_challenge
from b2bua.sip.hop import Hop
from b2bua.sip.message import Request, Response
from b2bua.sip.outputs import RequestReceived
from b2bua.sip.parser import parse_datagram
from b2bua.sip.transactions import TransactionTable
from b2bua.stateless import MOST_PER_BYTE
from tests.b2bua.phones import CORPUS, NAT, PHONE, TCP, UDP, WSS, arrived, wire
from tests.sip import torture
from tests.sip.exchanges import counted

NOW = 1000.0
USERS = {"1001": "open sesame", "1002": "pä", "alice": "looking glass"}
SERVER = Hop("UDP", "192.0.2.11", 5060, flow=1)
CONTACT = f"Contact: {PHONE}"
BOTH = (Algorithm.SHA_256, Algorithm.MD5)
LONG = "User-Agent: a phone that tells a good deal of itself, its maker and all of its versions 1.2"


class Case:
    """A gate before transactions, dialogs and a registrar."""

    def __init__(
        self,
        users: Mapping[str, str] = USERS,
        networks: tuple[Network, ...] = (),
        offered: Sequence[Algorithm] = (Algorithm.MD5,),
    ) -> None:
        settings = PhoneSettings(users=users, networks=networks)
        self.events: list[Event] = []
        self.table = TransactionTable(lambda hop: "pbx.example.com", counted("t"))
        self.dialogs = DialogTable()
        self.registrar = Registrar(settings, lambda dn: True, self.events.append)
        salts = counted("")
        self.gate = Gate(
            settings,
            b"k" * 32,
            lambda length: salts().encode().rjust(length, b"s"),
            is_server=lambda host: host == SERVER.host,
            knows=lambda request, hop: (
                self.table.knows(request, hop) or self.dialogs.knows(request)
            ),
            dns_of=self.registrar.dns_of,
            emit=self.events.append,
            offered=offered,
        )

    def judge(self, request: Request, hop: Hop = UDP, now: float = NOW) -> Verdict:
        return self.gate.judge(request, hop, now)

    def status(self, request: Request, hop: Hop = UDP, now: float = NOW) -> int:
        """What is answered; 0 for nothing, 1 where the request passes."""
        verdict = self.judge(request, hop, now)
        if isinstance(verdict, Answer):
            return verdict.response.status
        return int(isinstance(verdict, Pass))

    def receive(self, request: Request, hop: Hop = UDP, now: float = NOW) -> Verdict:
        """Take a request as the whole B2BUA does: what passes makes a transaction."""
        verdict = self.judge(request, hop, now)
        if isinstance(verdict, Pass):
            self.table.receive(request, hop, now)
            for output in self.table.take_outputs():
                if isinstance(output, RequestReceived) and request.method == "REGISTER":
                    status, headers = self.registrar.register(request, hop, now, verdict.user)
                    response = output.transaction.response(status, headers=headers)
                    self.table.respond(output.transaction, response, now)
        return verdict

    def bind(self, hop: Hop = UDP, dn: str = "1001") -> None:
        """Have a DN bound over a way, with its password."""
        phone = Phone(dn, USERS[dn], call_id=f"{hop.transport} {dn}".replace(" ", "-"))
        assert isinstance(self.receive(phone.answer(self, hop), hop), Pass)
        assert dn in self.registrar.dns_of(hop)


class Phone:
    """A phone that knows a password, and is challenged."""

    def __init__(
        self,
        user: str = "1001",
        password: str = USERS["1001"],
        algorithm: str = "",
        call_id: str = "81204Zjk3NTU2",
    ) -> None:
        login = Login(user, password)
        self.call_id = call_id
        self.user = user
        self.algorithm = algorithm
        self.client = DigestClient(lambda realm, hop: login, counted(f"c-{user}-"))
        self.branches = counted(f"z9hG4bK-{call_id}-{user}-")
        self.sequence = 0

    def request(self, method: str = "REGISTER", **other: str) -> Request:
        self.sequence += 1
        lines = (CONTACT, LONG) if method == "REGISTER" else (LONG,)
        data = wire(
            method,
            *lines,
            **{"dn": self.user, "branch": self.branches(), "call_id": self.call_id, **other},
            sequence=self.sequence,
        )
        return arrived(data)

    def answer(
        self, case: Case, hop: Hop = UDP, now: float = NOW, method: str = "REGISTER", **other: str
    ) -> Request:
        """Ask, and give the answer to the challenge."""
        asked = self.request(method, **other)
        verdict = case.judge(asked, hop, now)
        assert isinstance(verdict, Answer), verdict
        return self.again(asked, verdict.response, hop)

    def again(self, asked: Request, response: Response, hop: Hop = UDP) -> Request:
        if self.algorithm:
            rows = response.get_rows("WWW-Authenticate")
            chosen = [row for row in rows if f"algorithm={self.algorithm}" in row]
            response.replace("WWW-Authenticate", *chosen)
        self.sequence += 1
        request = self.client.answer(asked, response, hop, self.sequence)
        request.prepend("Via", f"SIP/2.0/UDP 192.0.2.50:5060;branch={self.branches()};rport")
        return arrived(request.render(), hop)

    def next(self, hop: Hop = UDP, method: str = "REGISTER") -> Request:
        """The next request, with the nonce of the last one."""
        request = self.request(method)
        self.client.authorize(request, hop)
        return arrived(request.render(), hop)


class KnownTests(SynchronousTestCase):
    """Who passes without more ado."""

    def test_servers(self) -> None:
        """Whatever a server sends passes, as a server's, but for REGISTER."""
        case = Case()
        for method in ("INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "NOTIFY"):
            request = arrived(wire(method, to_tag="x"), SERVER)
            self.assertEqual(case.judge(request, SERVER), Pass(None, True))
        self.assertEqual(case.status(arrived(wire("REGISTER", CONTACT, LONG)), SERVER), 401)

    def test_dialogs(self) -> None:
        """What belongs to a dialog passes from anywhere; with another tag it does not."""
        case = Case()
        invite = arrived(wire("INVITE", CONTACT))
        case.dialogs.add(dialog_of_request(invite, "ours"))
        for method in ("BYE", "ACK", "INFO"):
            inside = arrived(wire(method, to_tag="ours", sequence=2))
            self.assertEqual(case.judge(inside, NAT), Pass())
        self.assertEqual(case.status(arrived(wire("BYE", to_tag="their")), NAT), 481)
        self.assertEqual(case.judge(arrived(wire("ACK", to_tag="their")), NAT), Drop("ack"))

    def test_transactions(self) -> None:
        """Copies, ACK and CANCEL of an INVITE that is here pass, from its own host only."""
        case = Case()
        invite = arrived(wire("INVITE", CONTACT))
        case.table.receive(invite, UDP, NOW)
        for method in ("INVITE", "CANCEL", "ACK"):
            copy = arrived(wire(method, CONTACT))
            self.assertEqual(case.judge(copy), Pass())
            self.assertNotEqual(case.judge(copy, NAT), Pass())
        self.assertEqual(case.status(arrived(wire("CANCEL", branch="z9hG4bKother"))), 481)
        self.assertEqual(case.status(arrived(wire("OPTIONS")), TCP), 200)

    def test_repeated_register(self) -> None:
        """A copy of a REGISTER with the same nonce count meets its transaction: no replay."""
        case = Case()
        phone = Phone()
        request = phone.answer(case)
        self.assertEqual(case.receive(request), Pass("1001"))
        self.assertEqual(case.receive(request), Pass())
        self.assertEqual(len(case.registrar), 1)
        replayed = arrived(request.render().replace(b";branch=", b";branch=z9hG4bKnew"))
        self.assertEqual(case.status(replayed), 401)
        self.assertEqual(case.gate.totals.answered["stale"], 1)


class RegisterTests(SynchronousTestCase):
    """Who may register."""

    def test_network(self) -> None:
        """From a network on the list nobody needs a password, also where IPv4 comes in IPv6."""
        networks = (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32"))
        for users in ({}, USERS):
            case = Case(users, networks)
            request = arrived(wire("REGISTER", CONTACT))
            for host in ("192.0.2.77", "2001:db8::1", "::ffff:192.0.2.5"):
                self.assertEqual(case.judge(request, Hop("UDP", host, 5060)), Pass())
            self.assertIsInstance(case.judge(arrived(wire("REGISTER", LONG), NAT), NAT), Answer)

    def test_network_calls(self) -> None:
        """From such a network one may call and ask; where a DN is bound, as that DN only."""
        case = Case({}, (ip_network("192.0.2.0/24"),))
        for method in ("OPTIONS", "INVITE"):
            self.assertEqual(case.judge(arrived(wire(method))), Pass())
        self.assertEqual(case.receive(arrived(wire("REGISTER", CONTACT))), Pass())
        self.assertEqual(case.judge(arrived(wire("INVITE", branch="z9hG4bK2"))), Pass("1001"))
        for method, status in (("INVITE", 403), ("OPTIONS", 1)):
            request = arrived(wire(method, LONG, dn="1002", branch="z9hG4bK3"))
            self.assertEqual(case.status(request), status)

    def test_nobody(self) -> None:
        """Without users, and from no network on the list, it is 403."""
        case = Case(users={})
        self.assertEqual(case.status(arrived(wire("REGISTER", CONTACT))), 403)
        self.assertEqual(case.events, [PhoneRefused(UDP, 403, "no-users")])

    def test_right(self) -> None:
        """The right password passes with each algorithm, and again with the same nonce."""
        for algorithm in ("MD5", "SHA-256"):
            for user, password in USERS.items():
                case = Case(offered=BOTH)
                phone = Phone(user, password, algorithm)
                self.assertEqual(case.receive(phone.answer(case, TCP), TCP), Pass(user))
                for _ in range(3):
                    self.assertEqual(case.receive(phone.next(TCP), TCP), Pass(user))

    def test_wrong(self) -> None:
        """A wrong password and an unknown user get the same as whoever says nothing."""
        case = Case(offered=BOTH)
        for phone, reason in (
            (Phone(password="guess"), "password"),
            (Phone("9999", "guess"), "user"),
        ):
            for algorithm in ("MD5", "SHA-256"):
                phone.algorithm = algorithm
                verdict = case.judge(phone.answer(case, TCP), TCP)
                assert isinstance(verdict, Answer)
                self.assertEqual(verdict.response.status, 401)
                for row in verdict.response.get_rows("WWW-Authenticate"):
                    self.assertIsNone(parse_challenge(row).text("stale"))
                self.assertEqual(case.events.pop(), PhoneRefused(TCP, 401, reason))
        self.assertEqual(case.events, [])

    def test_stale(self) -> None:
        """An old nonce gets a new one, said to be stale; the phone need not ask its user."""
        case = Case()
        phone = Phone()
        self.assertEqual(case.receive(phone.answer(case)), Pass("1001"))
        late = phone.next()
        verdict = case.judge(late, now=NOW + 1000)
        assert isinstance(verdict, Answer)
        row = verdict.response.get_rows("WWW-Authenticate")[0]
        self.assertEqual(parse_challenge(row).text("stale"), "true")
        again = phone.again(late, verdict.response)
        self.assertEqual(case.receive(again, now=NOW + 1000), Pass("1001"))

    def test_other_dn(self) -> None:
        """A right password for one DN binds no other."""
        case = Case()
        request = Phone().answer(case, to="<sip:1002@h>", from_="<sip:1002@h>")
        self.assertEqual(case.receive(request), Pass("1001"))
        self.assertEqual(len(case.registrar), 0)
        self.assertEqual(case.events, [PhoneRefused(UDP, 403, "other-user")])

    def test_nonce_of_another_source(self) -> None:
        """
        A nonce is good where it was sent to. Elsewhere, whatever the password, there is another
        challenge and no guess is counted: else forged datagrams would have their victim locked
        out, here and by whoever reads the log.
        """
        case = Case()
        phone = Phone(password="wrong")
        guess = phone.answer(case, NAT)
        made_up = arrived(guess.render().replace(b'nonce="', b'nonce="x'))
        for request in (guess, made_up):
            for _ in range(rules.GUESSES + 1):
                self.assertEqual(case.status(request), 401)
        self.assertEqual(case.events, [])
        self.assertEqual(case.receive(Phone().answer(case)), Pass("1001"))
        self.assertEqual(case.status(guess, NAT), 401)
        self.assertEqual(case.events[-1], PhoneRefused(NAT, 401, "password"))

    def test_offered(self) -> None:
        """What is offered is asked for in its order, as far as there is room; MD5 by default."""
        long = wire("REGISTER", CONTACT, LONG, "Subject: " + "x" * 200)
        short = wire("REGISTER", CONTACT, LONG)
        for algorithms, data, hop, expected in (
            ((Algorithm.MD5,), long, TCP, ["MD5"]),
            ((Algorithm.SHA_256,), long, TCP, ["SHA-256"]),
            (BOTH, wire("REGISTER"), TCP, ["SHA-256", "MD5"]),
            (BOTH, long, UDP, ["SHA-256", "MD5"]),
            (BOTH[::-1], long, UDP, ["MD5", "SHA-256"]),
            (BOTH, short, UDP, ["MD5"]),
            (BOTH[::-1], short, UDP, ["SHA-256"]),
            ((Algorithm.MD5,), wire("REGISTER", CONTACT), UDP, [None]),
        ):
            verdict = Case(offered=algorithms).judge(arrived(data, hop), hop)
            assert isinstance(verdict, Answer)
            rows = verdict.response.get_rows("WWW-Authenticate")
            self.assertEqual([parse_challenge(row).text("algorithm") for row in rows], expected)

    def test_unasked(self) -> None:
        """An answer with the algorithm that was not offered is as good."""
        case = Case()
        phone = Phone()
        asked = phone.request()
        verdict = case.judge(asked)
        assert isinstance(verdict, Answer)
        (row,) = verdict.response.get_rows("WWW-Authenticate")
        verdict.response.replace("WWW-Authenticate", row.replace("MD5", "SHA-256"))
        self.assertEqual(case.judge(phone.again(asked, verdict.response)), Pass("1001"))


class CallTests(SynchronousTestCase):
    """Who may call."""

    def test_bound(self) -> None:
        """Over the way that a DN is bound over, requests from that DN pass, in any spelling."""
        for hop in (UDP, NAT, TCP, WSS):
            case = Case()
            case.bind(hop)
            for from_ in ("<sip:1001@h>", "sip:%31001@h", "<sips:1001@h>", "<tel:1001>"):
                for method in ("INVITE", "MESSAGE", "OPTIONS"):
                    request = arrived(wire(method, from_=from_), hop)
                    self.assertEqual(case.judge(request, hop), Pass("1001"))

    def test_other_dn(self) -> None:
        """As another DN it is 403, be that one bound elsewhere, unless its password is given."""
        case = Case()
        case.bind(UDP)
        case.bind(TCP, "1002")
        request = arrived(wire("INVITE", LONG, dn="1002"))
        self.assertEqual(case.status(request), 403)
        phone = Phone("1002", USERS["1002"])
        phone.answer(case)
        self.assertEqual(case.judge(phone.next(method="INVITE")), Pass("1002"))

    def test_other_way(self) -> None:
        """A DN bound over one way is a stranger on any other: other port, other connection."""
        case = Case()
        case.bind(UDP)
        case.bind(TCP)
        for hop in (
            Hop("UDP", UDP.host, 5061, flow=1),
            Hop("UDP", "192.0.2.51", 5060, flow=1),
            Hop("TCP", TCP.host, TCP.port, flow=99),
        ):
            self.assertEqual(case.status(arrived(wire("INVITE", LONG), hop), hop), 401)
        case.registrar.flow_lost(TCP, NOW)
        self.assertEqual(case.status(arrived(wire("INVITE", LONG), TCP), TCP), 401)

    def test_expired(self) -> None:
        """When the binding is over, so is what it opened."""
        case = Case()
        case.bind(UDP)
        case.registrar.handle_timeout(NOW + 3600)
        self.assertEqual(case.status(arrived(wire("INVITE", LONG))), 401)

    def test_password(self) -> None:
        """A caller that is not bound proves its DN, and no other."""
        case = Case()
        phone = Phone()
        self.assertEqual(case.judge(phone.answer(case, NAT, method="INVITE"), NAT), Pass("1001"))
        liar = phone.answer(case, NAT, method="INVITE", from_="<sip:1002@pbx.example.com>")
        self.assertEqual(case.status(liar, NAT), 403)

    def test_nobody(self) -> None:
        """Without users a stranger's request is 403, whatever its method."""
        case = Case(users={}, networks=(ip_network("10.0.0.0/8"),))
        for method in ("INVITE", "MESSAGE", "SUBSCRIBE", "FROB"):
            self.assertEqual(case.status(arrived(wire(method))), 403)


class StrangerTests(SynchronousTestCase):
    """What scanners and floods get."""

    def test_options(self) -> None:
        """By datagram nothing; over a stream a 200 that tells nothing."""
        case = Case()
        self.assertEqual(case.judge(arrived(wire("OPTIONS"))), Drop("options"))
        verdict = case.judge(arrived(wire("OPTIONS"), TCP), TCP)
        assert isinstance(verdict, Answer)
        names = [name for name, _ in verdict.response.headers]
        self.assertEqual(verdict.response.status, 200)
        self.assertEqual(names, ["Via", "From", "To", "Call-ID", "CSeq"])

    def test_nothing_learned(self) -> None:
        """DNs that exist, that are bound, and that there are not, all get the same."""
        for hop in (NAT, WSS):
            for method in ("REGISTER", "INVITE", "OPTIONS", "SUBSCRIBE", "BYE"):
                seen = set()
                for dn in ("1001", "1002", "9999"):
                    case = Case()
                    case.bind(UDP)
                    callee = f"<sip:{dn}@h>"
                    verdict = case.judge(arrived(wire(method, LONG, dn=dn, to=callee), hop), hop)
                    text = str(verdict)
                    if isinstance(verdict, Answer):
                        text = verdict.response.render().decode().replace(dn, "DN")
                    seen.add(text)
                self.assertEqual(len(seen), 1, seen)

    def test_copies(self) -> None:
        """A copy of a request gets the same To tag, another request another one."""
        case = Case()
        tags = []
        for branch in ("z9hG4bK1", "z9hG4bK1", "z9hG4bK2"):
            verdict = case.judge(arrived(wire("INVITE", LONG, branch=branch)))
            assert isinstance(verdict, Answer)
            tags.append(verdict.response.to.tag)
        self.assertEqual((len(set(tags)), tags[0]), (2, tags[1]))

    def test_silence(self) -> None:
        """A source that asks without end meets silence for a minute; its neighbour does not."""
        case = Case()
        request = arrived(wire("REGISTER", CONTACT, LONG), NAT)
        statuses = [case.status(request, NAT) for _ in range(rules.TROUBLE + 10)]
        self.assertEqual(statuses, [401] * rules.TROUBLE + [0] * 10)
        self.assertEqual(case.gate.totals.dropped["silenced"], 10)
        for method in ("INVITE", "CANCEL", "FROB"):
            self.assertEqual(case.status(arrived(wire(method, LONG), NAT), NAT), 0)
        self.assertEqual(case.status(request, UDP), 401)
        self.assertEqual(case.status(request, NAT, NOW + rules.WINDOW - 1), 0)
        self.assertEqual(case.status(request, NAT, NOW + rules.WINDOW + 1), 401)

    def test_guesses(self) -> None:
        """Some wrong passwords for a user, and even the right one is not listened to."""
        case = Case()
        guesser = Phone(password="guess")
        for _ in range(rules.GUESSES):
            self.assertEqual(case.status(guesser.answer(case, NAT), NAT), 401)
        right = Phone().answer(case, NAT)
        self.assertEqual(case.judge(right, NAT), Drop("silenced"))
        neighbour = Phone("1002", USERS["1002"]).answer(case, NAT)
        self.assertEqual(case.judge(neighbour, NAT), Pass("1002"))
        self.assertEqual(case.judge(Phone().answer(case, UDP), UDP), Pass("1001"))
        late = NOW + rules.WINDOW + 1
        self.assertEqual(case.judge(Phone().answer(case, NAT, late), NAT, late), Pass("1001"))

    def test_spraying(self) -> None:
        """Guessing for one user after the other ends as well."""
        case = Case()
        tries = 0
        for number in range(1000):
            asked = Phone(str(number), "guess").request()
            verdict = case.judge(asked, NAT)
            if not isinstance(verdict, Answer):
                break
            guess = Phone(str(number), "guess").again(asked, verdict.response)
            tries += 1
            case.judge(guess, NAT)
        self.assertLess(tries, rules.TROUBLE // rules.WRONG_PASSWORD)

    def test_bound_are_spared(self) -> None:
        """What others do from its address does not silence a phone that is bound."""
        case = Case()
        phone = Phone()
        case.receive(phone.answer(case, NAT), NAT)
        other_port = Hop("UDP", NAT.host, 1024, flow=1)
        for _ in range(rules.TROUBLE + 1):
            case.judge(arrived(wire("INVITE", LONG, dn="666"), other_port), other_port)
        guesser = Phone(password="guess")
        asked = guesser.request()
        self.assertEqual(case.status(asked, other_port), 0)
        self.assertEqual(case.judge(arrived(wire("INVITE"), NAT), NAT), Pass("1001"))
        self.assertEqual(case.receive(phone.next(NAT), NAT), Pass("1001"))
        self.assertEqual(case.receive(phone.answer(case, NAT), NAT), Pass("1001"))
        # But it may not guess for others where its neighbours may not.
        stolen = Phone("1002", "guess").request(to="<sip:1001@h>")
        challenge = case.judge(stolen, NAT)
        assert isinstance(challenge, Answer)
        guess = Phone("1002", "guess").again(stolen, challenge.response)
        self.assertEqual(case.judge(guess, NAT), Drop("silenced"))

    def test_many_phones(self) -> None:
        """Phones behind one address that know their passwords never meet silence."""
        users = {str(dn): "pass" for dn in range(2000, 2000 + 2 * rules.TROUBLE)}
        case = Case(users)
        for port, (user, password) in enumerate(users.items(), start=10_000):
            hop = Hop("UDP", NAT.host, port, flow=1)
            self.assertEqual(case.receive(Phone(user, password).answer(case, hop), hop), Pass(user))

    def test_nothing_kept(self) -> None:
        """10,000 strangers leave every table as it was."""
        case = Case()
        guesser = Phone(password="guess")
        for number in range(10_000):
            hop = Hop("UDP", f"10.1.{number >> 8}.{number & 255}", 5060, flow=1)
            method = ("REGISTER", "INVITE", "BYE", "CANCEL", "ACK", "OPTIONS")[number % 6]
            branch = f"z9hG4bK{number}"
            if number % 1000:
                case.receive(arrived(wire(method, LONG, branch=branch), hop), hop)
            else:
                case.receive(guesser.answer(case, hop), hop)
        gate = case.gate
        self.assertEqual((len(case.table), len(case.dialogs), len(case.registrar)), (0, 0, 0))
        self.assertEqual((len(gate._trouble), len(gate._guesses)), (rules.CELLS, rules.CELLS))
        self.assertEqual(len(gate._digest._counts), 0)
        self.assertEqual(len(case.events), 10)
        self.assertEqual(sum(gate.totals.passed.values()), 0)


IPV6 = Hop("UDP", "2001:db8:1234:5678:9abc:def0:1234:5678", 65_535, flow=1)
TORTURE = [torture.read(rfc, name) for rfc in ("rfc4475", "rfc5118") for name in torture.names(rfc)]


def small(
    method: str, host: str, branch: str, user: str, tag: str, padding: str, names: bytes
) -> bytes:
    """The least that a request may be, with compact names and without spaces if so wanted."""
    to_tag = f";tag={tag}" if tag else ""
    data = (
        f"{method} sip:{user}@h SIP/2.0\r\nVia: SIP/2.0/UDP {host};branch={branch};rport\r\n"
        f"From: <sip:{user}@h>;tag=1\r\nTo: <sip:{user}@h>{to_tag}\r\n"
        f"Call-ID: 1\r\nCSeq: 1 {method}\r\nX: {padding}\r\n\r\n"
    ).encode()
    if names == b"compact":
        for long, short in ((b"Via", b"v"), (b"From", b"f"), (b"To", b"t"), (b"Call-ID", b"i")):
            data = data.replace(b"\r\n" + long + b": ", b"\r\n" + short + b":")
    return data


words = st.text("abcXYZ019", min_size=1, max_size=20)


class AmplificationTests(SynchronousTestCase):
    """By datagram no stranger is given more than 1.2 bytes for each byte."""

    def check(self, data: bytes, hop: Hop, users: Mapping[str, str]) -> Verdict:
        verdict = Case(users).judge(arrived(data, hop), hop)
        self.assertNotIsInstance(verdict, Pass)
        if isinstance(verdict, Answer):
            answer = verdict.response.render()
            self.assertLessEqual(len(answer), MOST_PER_BYTE * len(data), answer)
        return verdict

    def test_corpus(self) -> None:
        """What phones and scanners really send is answered, and never amplified."""
        for name, (data, statuses) in CORPUS.items():
            for hop in (NAT, IPV6):
                for users, expected in zip((USERS, {}), statuses, strict=True):
                    with self.subTest(name, hop=hop, users=len(users)):
                        verdict = self.check(data, hop, users)
                        status = verdict.response.status if isinstance(verdict, Answer) else 0
                        self.assertEqual(status, expected)

    def test_torture(self) -> None:
        """Torture messages are not amplified either."""
        seen = 0
        for data in TORTURE:
            try:
                is_request = isinstance(parse_datagram(data), Request)
            except ParseError:
                # What cannot be read does not come to the gate.
                continue
            for hop in (NAT, IPV6) if is_request else ():
                self.check(data, hop, USERS)
                seen += 1
        self.assertGreater(seen, 50)

    @given(
        st.sampled_from(["REGISTER", "INVITE", "OPTIONS", "BYE", "CANCEL", "ACK", "X"]),
        st.sampled_from(["h", "192.0.2.1:5060", "[::1]", "host.example.com"]),
        words.map("z9hG4bK".__add__) | words,
        words,
        st.just("") | words,
        st.integers(0, 400).map("x".__mul__),
        st.sampled_from([b"compact", b"long"]),
        st.sampled_from([NAT, IPV6]),
        st.sampled_from([USERS, {}]),
    )
    def test_small(
        self,
        method: str,
        host: str,
        branch: str,
        user: str,
        tag: str,
        padding: str,
        names: bytes,
        hop: Hop,
        users: Mapping[str, str],
    ) -> None:
        """Nor is anything as small as a request can be."""
        self.check(small(method, host, branch, user, tag, padding, names), hop, users)


REQUESTS = []
for data in TORTURE:
    try:
        message = parse_datagram(data)
    except ParseError:
        continue
    if isinstance(message, Request):
        REQUESTS.append(message)

_quoted = st.text('ab1=,; \\"\u00e9', max_size=8).map(quote)
credentials = st.dictionaries(
    st.sampled_from(["username", "nonce", "uri", "response", "nc", "cnonce", "qop", "algorithm"]),
    _quoted | st.sampled_from(["auth", "00000001", "MD5", "SHA-256", '"1001"']),
).map(
    lambda values: ", ".join(
        ['Digest realm="webrtc-suite"', *(f"{name}={value}" for name, value in values.items())]
    )
)


class TortureTests(SynchronousTestCase):
    """Whatever the parser lets through is judged."""

    def setUp(self) -> None:
        self.case = Case()

    @given(
        st.sampled_from(REQUESTS),
        st.sampled_from(["REGISTER", "INVITE", "OPTIONS", "CANCEL", "ACK", "FROB"]),
        st.lists(credentials | st.text('Digest =,"', max_size=20), max_size=2),
        st.sampled_from([UDP, NAT, TCP, IPV6]),
    )
    def test_never_raises(
        self, message: Request, method: str, authorizations: list[str], hop: Hop
    ) -> None:
        """Torture messages under any method, with any credentials, have a verdict."""
        request = Request(method, message.uri, message.headers)
        request.datagram_size = 1000
        for value in authorizations:
            request.add("Authorization", value)
        verdict = self.case.judge(request, hop)
        self.assertIsInstance(verdict, Answer | Drop)
        if isinstance(verdict, Answer):
            verdict.response.render()
