"""Tests of b2bua.sip.dialog."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.sip.dialog import (
    Dialog,
    DialogRefusal,
    DialogState,
    DialogTable,
    DialogTableFull,
    dialog_of_request,
    dialog_of_response,
    establishing_headers,
)
from b2bua.sip.headers import parse_name_addr, parse_replaces
from b2bua.sip.message import Request
from tests.sip.exchanges import answer, request

CONTACT = ("Contact", "<sip:bob@192.0.2.4:5062>")
ROUTES = (
    ("Record-Route", "<sip:near.example.com;lr>, <sip:middle.example.com;lr>"),
    ("Record-Route", "<sip:far.example.com;lr>"),
)


def calling(
    status: int = 180, *headers: tuple[str, str], tag: str = "bob"
) -> tuple[Request, Dialog]:
    """An INVITE of ours, numbered 7, and the dialog that a response to it makes."""
    invite = request(sequence=7)
    dialog = dialog_of_response(invite, answer(invite, status, *(headers or (CONTACT,)), tag=tag))
    return invite, dialog


def called(*headers: tuple[str, str], sequence: int = 7) -> tuple[Request, Dialog]:
    """A peer's INVITE and the dialog that our response makes."""
    invite = request("INVITE", *(headers or (CONTACT,)), branch="z9hG4bK1", sequence=sequence)
    return invite, dialog_of_request(invite, "ours")


def routes(message: Request) -> list[str]:
    return [str(route.uri) for route in message.route]


class CallerTests(SynchronousTestCase):
    """A dialog that our INVITE made (section 12.1.2)."""

    def test_identity(self) -> None:
        """Call-ID, our From tag and the response's To tag identify it."""
        _, dialog = calling()
        self.assertEqual(dialog.id, ("call@client", "alice", "bob"))
        self.assertTrue(dialog.is_caller)
        self.assertIs(dialog.state, DialogState.EARLY)

    def test_peer_without_tag(self) -> None:
        """A peer from before RFC 3261 has no tag, and requests to it get none."""
        invite, dialog = calling(200, tag="")
        self.assertEqual(dialog.remote_tag, "")
        self.assertEqual(dialog.ack(invite).to.tag, "")

    def test_next_request(self) -> None:
        """It goes to the peer's Contact, with From, To and Call-ID of the INVITE, numbered on."""
        _, dialog = calling()
        first, second = dialog.request("PRACK"), dialog.request("BYE")
        self.assertEqual(str(first.uri), "sip:bob@192.0.2.4:5062")
        self.assertEqual(first.get("From"), "Alice <sip:alice@example.com>;tag=alice")
        self.assertEqual(first.get("To"), "Bob <sip:bob@example.com>;tag=bob")
        self.assertEqual(first.call_id, "call@client")
        self.assertEqual(first.max_forwards, 70)
        self.assertEqual([str(m.cseq) for m in (first, second)], ["8 PRACK", "9 BYE"])
        self.assertFalse(first.has("Via") or first.has("Route"))

    def test_bare_address(self) -> None:
        """A To without angle brackets, as some servers send it, is echoed as it came."""
        invite = request()
        response = answer(invite, 180, CONTACT)
        response.replace("To", "sip:bob@example.com;tag=bare")
        dialog = dialog_of_response(invite, response)
        self.assertEqual(dialog.remote_tag, "bare")
        self.assertEqual(dialog.request("BYE").get("To"), "sip:bob@example.com;tag=bare")

    def test_route_set(self) -> None:
        """The route is the response's Record-Route, reversed over all rows."""
        _, dialog = calling(180, CONTACT, *ROUTES)
        bye = dialog.request("BYE")
        self.assertEqual(
            routes(bye),
            ["sip:far.example.com;lr", "sip:middle.example.com;lr", "sip:near.example.com;lr"],
        )
        self.assertEqual(str(bye.uri), "sip:bob@192.0.2.4:5062")
        self.assertEqual(str(dialog.next_hop), "sip:far.example.com;lr")

    def test_success_sets_the_route(self) -> None:
        """The 2xx confirms the early dialog and its Record-Route replaces that of the 1xx."""
        invite, dialog = calling(180, CONTACT, *ROUTES)
        success = answer(invite, 200, CONTACT, ("Record-Route", "<sip:only.example.com;lr>"))
        dialog.response_received(invite, success)
        self.assertIs(dialog.state, DialogState.CONFIRMED)
        self.assertEqual(routes(dialog.request("BYE")), ["sip:only.example.com;lr"])

    def test_route_is_frozen(self) -> None:
        """No later response changes the route, that to a re-INVITE neither."""
        invite, dialog = calling(180, CONTACT, *ROUTES)
        dialog.response_received(invite, answer(invite, 200, CONTACT, *ROUTES))
        again = dialog.request("INVITE")
        dialog.response_received(
            again, answer(again, 200, CONTACT, ("Record-Route", "<sip:new.example.com;lr>"))
        )
        self.assertEqual(len(routes(dialog.request("BYE"))), 3)

    def test_failure_confirms_nothing(self) -> None:
        """1xx and refusals leave an early dialog as it is."""
        invite, dialog = calling()
        for status in (183, 486):
            dialog.response_received(invite, answer(invite, status, ("Contact", "<sip:x@y>")))
        self.assertIs(dialog.state, DialogState.EARLY)
        self.assertEqual(str(dialog.remote_target), "sip:bob@192.0.2.4:5062")

    def test_no_contact_yet(self) -> None:
        """Without a Contact in the 1xx the Request-URI is the target, until the 2xx has one."""
        invite = request()
        dialog = dialog_of_response(invite, answer(invite, 180))
        self.assertEqual(str(dialog.remote_target), "sip:bob@example.com")
        dialog.response_received(invite, answer(invite, 200, CONTACT))
        self.assertEqual(str(dialog.remote_target), "sip:bob@192.0.2.4:5062")

    def test_peers_first_request(self) -> None:
        """The peer's first request may have any number; from there on they grow."""
        _, dialog = calling()
        dialog.take_request(request("NOTIFY", sequence=4711))
        self.assertEqual(dialog.remote_sequence, 4711)

    def test_secure(self) -> None:
        """A dialog is secure if its INVITE had a SIPS URI and went over TLS."""
        for uri, over_tls in (
            ("sips:bob@example.com", True),
            ("sips:bob@example.com", False),
            ("sip:bob@example.com", True),
        ):
            invite = request(uri=uri)
            dialog = dialog_of_response(invite, answer(invite, 200, CONTACT), over_tls=over_tls)
            self.assertIs(dialog.is_secure, uri.startswith("sips") and over_tls)


class AckTests(SynchronousTestCase):
    """The ACK of a 2xx (section 13.2.2.4)."""

    def test_form(self) -> None:
        """It has the INVITE's number, the dialog's route and target, and takes no number."""
        invite, dialog = calling(180, CONTACT, *ROUTES)
        dialog.response_received(
            invite, answer(invite, 200, ("Contact", "<sip:moved@192.0.2.5>"), *ROUTES)
        )
        ack = dialog.ack(invite, [("Content-Type", "application/sdp")], b"v=0\r\n")
        self.assertEqual((ack.method, str(ack.cseq)), ("ACK", "7 ACK"))
        self.assertEqual(str(ack.uri), "sip:moved@192.0.2.5")
        self.assertEqual(len(ack.route), 3)
        self.assertEqual(ack.body, b"v=0\r\n")
        self.assertEqual(str(dialog.request("BYE").cseq), "8 BYE")

    def test_credentials(self) -> None:
        """It repeats the INVITE's credentials, which cannot be asked for again."""
        invite = request(
            "INVITE", ("Authorization", 'Digest realm="a"'), ("Proxy-Authorization", "Digest b=c")
        )
        dialog = dialog_of_response(invite, answer(invite, 200, CONTACT))
        ack = dialog.ack(invite)
        self.assertEqual(ack.get("Authorization"), 'Digest realm="a"')
        self.assertEqual(ack.get("Proxy-Authorization"), "Digest b=c")

    def test_no_other_way(self) -> None:
        """ACK and CANCEL are no requests of a dialog's own."""
        _, dialog = calling()
        for method in ("ACK", "CANCEL"):
            self.assertRaises(ValueError, dialog.request, method)


class StrictRouterTests(SynchronousTestCase):
    """Routers that know no lr (section 12.2.1.1)."""

    def test_first(self) -> None:
        """If the first router is strict it is the Request-URI, and the target goes last."""
        _, dialog = calling(
            180,
            ("Contact", "<sip:bob@192.0.2.4?subject=x>"),
            ("Record-Route", "<sip:second.example.com;lr>, <sip:strict.example.com;method=BYE>"),
        )
        bye = dialog.request("BYE")
        self.assertEqual(str(bye.uri), "sip:strict.example.com")
        self.assertEqual(routes(bye), ["sip:second.example.com;lr", "sip:bob@192.0.2.4"])
        self.assertEqual(dialog.next_hop.scheme, "sip")
        self.assertIn("strict.example.com", str(dialog.next_hop))

    def test_later(self) -> None:
        """A strict router behind a loose one is the loose one's business."""
        _, dialog = calling(
            180, CONTACT, ("Record-Route", "<sip:strict.example.com>, <sip:loose.example.com;lr>")
        )
        bye = dialog.request("BYE")
        self.assertEqual(str(bye.uri), "sip:bob@192.0.2.4:5062")
        self.assertEqual(routes(bye), ["sip:loose.example.com;lr", "sip:strict.example.com"])

    def test_contact_with_headers(self) -> None:
        """What may not stand in a Request-URI is left out of it."""
        _, dialog = calling(180, ("Contact", "<sip:bob@192.0.2.4;method=INVITE;x=1?subject=y>"))
        self.assertEqual(str(dialog.request("BYE").uri), "sip:bob@192.0.2.4;x=1")


class CalledTests(SynchronousTestCase):
    """A dialog that a peer's INVITE made (section 12.1.1)."""

    def test_identity(self) -> None:
        """Call-ID, our tag and the peer's From tag identify it."""
        _, dialog = called()
        self.assertEqual(dialog.id, ("call@client", "ours", "alice"))
        self.assertFalse(dialog.is_caller)

    def test_next_request(self) -> None:
        """From and To change sides, and our numbers have nothing to do with the peer's."""
        _, dialog = called()
        bye = dialog.request("BYE")
        self.assertEqual(bye.get("From"), "Bob <sip:bob@example.com>;tag=ours")
        self.assertEqual(bye.get("To"), "Alice <sip:alice@example.com>;tag=alice")
        self.assertEqual(str(bye.cseq), "1 BYE")
        self.assertEqual(str(bye.uri), "sip:bob@192.0.2.4:5062")

    def test_route_set(self) -> None:
        """The route is the request's Record-Route in its order, which the response repeats."""
        invite, dialog = called(CONTACT, *ROUTES)
        self.assertEqual(
            routes(dialog.request("BYE")),
            ["sip:near.example.com;lr", "sip:middle.example.com;lr", "sip:far.example.com;lr"],
        )
        headers = establishing_headers(invite, parse_name_addr("<sip:ours@192.0.2.9>"))
        self.assertEqual(headers, [*ROUTES, ("Contact", "<sip:ours@192.0.2.9>")])

    def test_both_ends_agree(self) -> None:
        """Caller and called, who see the same Record-Route, go the same way in both directions."""
        _, caller = calling(180, CONTACT, *ROUTES)
        _, callee = called(CONTACT, *ROUTES)
        self.assertEqual(caller.route_set, tuple(reversed(callee.route_set)))

    def test_no_contact(self) -> None:
        """An INVITE without Contact makes no dialog: 400."""
        invite = request(branch="z9hG4bK1")
        error = self.assertRaises(DialogRefusal, dialog_of_request, invite, "ours")
        self.assertEqual((error.status, error.reason), (400, "no-contact"))

    def test_confirmed(self) -> None:
        """Accepting the INVITE confirms the dialog; accepting something else does not."""
        invite, dialog = called()
        prack = request("PRACK", sequence=8)
        dialog.take_request(prack)
        dialog.request_accepted(prack)
        self.assertIs(dialog.state, DialogState.EARLY)
        dialog.request_accepted(invite)
        self.assertIs(dialog.state, DialogState.CONFIRMED)


class SequenceTests(SynchronousTestCase):
    """Sequence numbers of the peer (section 12.2.2)."""

    def test_grow(self) -> None:
        """Numbers may jump, and must not stay or fall: 500."""
        _, dialog = called()
        dialog.take_request(request("INFO", sequence=9))
        for number in (9, 8, 1):
            late = request("NOTIFY", sequence=number)
            error = self.assertRaises(DialogRefusal, dialog.take_request, late)
            self.assertEqual((error.status, error.reason), (500, "out-of-order"))
        dialog.take_request(request("NOTIFY", sequence=2**31 - 1))
        self.assertEqual(dialog.remote_sequence, 2**31 - 1)

    def test_ack(self) -> None:
        """An ACK has its INVITE's number, and counts for nothing."""
        _, dialog = called()
        dialog.take_request(request("INFO", sequence=9))
        dialog.take_request(request("ACK", sequence=7))
        self.assertEqual(dialog.remote_sequence, 9)

    def test_lenient(self) -> None:
        """Where a peer's other half may lag behind, a lower number is where it goes on from."""
        _, dialog = called()
        dialog.take_request(request("BYE", sequence=3), lenient=True)
        self.assertEqual(dialog.remote_sequence, 3)

    @given(st.lists(st.integers(0, 2**31 - 1)))
    def test_any_order(self, numbers: list[int]) -> None:
        """What is taken is exactly what is above all that was taken before."""
        _, dialog = called(sequence=5)
        highest = 5
        for number in numbers:
            try:
                dialog.take_request(request("INFO", sequence=number))
            except DialogRefusal:
                self.assertLessEqual(number, highest)
            else:
                self.assertGreater(number, highest)
                highest = number

    def test_ours(self) -> None:
        """Every request of ours, and every second try of one, has a new number."""
        _, dialog = calling()
        numbers = [dialog.request("INFO").cseq.number, dialog.next_sequence()]
        numbers.append(dialog.request("INFO").cseq.number)
        self.assertEqual(numbers, [8, 9, 10])


class TargetRefreshTests(SynchronousTestCase):
    """Who may move the remote target (section 12.2; RFC 3311)."""

    MOVED = ("Contact", "<sip:moved@192.0.2.5>")

    def test_peers_request(self) -> None:
        """Of the peer's requests, INVITE and UPDATE move it, when they are accepted."""
        for method in ("INVITE", "UPDATE", "INFO", "BYE", "PRACK", "NOTIFY", "MESSAGE"):
            _, dialog = called()
            message = request(method, self.MOVED, sequence=8)
            dialog.take_request(message)
            self.assertIn("bob", str(dialog.remote_target))
            dialog.request_accepted(message)
            moved = "moved" in str(dialog.remote_target)
            self.assertIs(moved, method in ("INVITE", "UPDATE"), method)

    def test_response(self) -> None:
        """Of responses, a 2xx to our INVITE or UPDATE moves it, and nothing else."""
        for method, status in (("INVITE", 200), ("UPDATE", 200), ("INFO", 200), ("INVITE", 183)):
            invite, dialog = calling()
            dialog.response_received(invite, answer(invite, 200, CONTACT))
            message = dialog.request(method)
            dialog.response_received(message, answer(message, status, self.MOVED))
            moved = "moved" in str(dialog.remote_target)
            self.assertIs(moved, method in ("INVITE", "UPDATE") and status == 200)

    def test_without_contact(self) -> None:
        """Without a Contact it stays."""
        _, dialog = called()
        dialog.request_accepted(request("UPDATE", sequence=8))
        self.assertIn("bob", str(dialog.remote_target))

    def test_route_stays(self) -> None:
        """Record-Route in a later request changes nothing."""
        _, dialog = called(CONTACT, *ROUTES)
        again = request("INVITE", self.MOVED, ("Record-Route", "<sip:x;lr>"), sequence=8)
        dialog.request_accepted(again)
        self.assertEqual(len(dialog.route_set), 3)


class DialogTableTests(SynchronousTestCase):
    """Many dialogs."""

    def test_find(self) -> None:
        """A dialog is found by the peer's requests, by responses, and by Replaces."""
        table = DialogTable()
        invite, ours = calling()
        _, theirs = called()
        table.add(ours)
        table.add(theirs)
        self.assertIs(table.of_response(answer(invite, 200)), ours)
        self.assertIs(table.of_request(request("BYE", to_tag="ours", from_tag="alice")), theirs)
        self.assertIs(table.of_request(request("BYE", to_tag="alice", from_tag="bob")), ours)
        self.assertTrue(table.knows(request("BYE", to_tag="alice", from_tag="bob")))
        replaces = parse_replaces("call@client;to-tag=ours;from-tag=alice")
        self.assertIs(table.of_replaces(replaces), theirs)

    def test_unknown(self) -> None:
        """Another Call-ID or tag, or none, finds nothing."""
        table = DialogTable()
        table.add(called()[1])
        for unknown in (
            request("BYE", from_tag="alice"),
            request("BYE", to_tag="ours", from_tag="mallory"),
            request("BYE", to_tag="other", from_tag="alice"),
            request("BYE", to_tag="ours", from_tag="alice", call_id="other"),
        ):
            self.assertIsNone(table.of_request(unknown))
            self.assertFalse(table.knows(unknown))

    def test_forks(self) -> None:
        """Each To tag in the responses to one INVITE makes a dialog; they share nothing."""
        table = DialogTable()
        invite = request()
        for tag in ("one", "two"):
            contact = ("Contact", f"<sip:{tag}@192.0.2.4>")
            table.add(dialog_of_response(invite, answer(invite, 183, contact, tag=tag)))
        one, two = table.forks("call@client", "alice")
        two.response_received(invite, answer(invite, 200, CONTACT, tag="two"))
        self.assertEqual([d.state.name for d in (one, two)], ["EARLY", "CONFIRMED"])
        self.assertEqual(str(one.request("BYE").uri), "sip:one@192.0.2.4")
        self.assertIs(table.of_response(answer(invite, 200, tag="one")), one)

    def test_remove(self) -> None:
        """A dialog that was removed is not found, takes no room, and may be removed again."""
        table = DialogTable()
        _, dialog = called()
        table.add(dialog)
        for _ in range(2):
            table.remove(dialog)
        self.assertEqual((len(table), list(table), table.forks(*dialog.id[:2])), (0, [], []))
        self.assertEqual(table._dialogs, {})

    def test_removing_a_stranger(self) -> None:
        """Removing a dialog does not remove another of the same name."""
        table = DialogTable()
        table.add(called()[1])
        table.remove(called()[1])
        self.assertEqual(len(table), 1)

    def test_twice(self) -> None:
        """Adding a dialog twice is an error, and changes nothing."""
        table = DialogTable()
        _, dialog = called()
        table.add(dialog)
        self.assertRaises(ValueError, table.add, dialog)
        self.assertEqual(len(table), 1)

    def test_bounded(self) -> None:
        """There are at most so many dialogs, and so many of one INVITE."""
        table = DialogTable(limit=4, fork_limit=2)
        for tag in ("one", "two"):
            table.add(calling(tag=tag)[1])
        self.assertRaises(DialogTableFull, table.add, calling(tag="three")[1])
        for n in range(2):
            invite = request("INVITE", CONTACT, branch="z9hG4bK1", call_id=str(n))
            table.add(dialog_of_request(invite, "ours"))
        self.assertRaises(DialogTableFull, table.add, called()[1])
        self.assertEqual(len(table), 4)
        self.assertEqual(len(table._dialogs), 3)
