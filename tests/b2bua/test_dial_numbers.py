"""Tests of b2bua.dial_numbers."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.dial_numbers import DialNumberError, parse_dial_numbers

dns = st.from_regex(r"\A\+?[0-9]{1,6}\Z")
patterns = st.from_regex(r"\A\+?[0-3*?]{1,6}\Z").filter(lambda text: "*" in text or "?" in text)


class MatchingTests(SynchronousTestCase):
    """What an ID must look like to be registered."""

    def assert_matches(self, text: str, yes: str, no: str) -> None:
        """Each DN of ``yes`` matches the list, none of ``no`` does."""
        parsed = parse_dial_numbers(text)
        self.assertEqual([dn for dn in yes.split() if not parsed.matches(dn)], [])
        self.assertEqual([dn for dn in no.split() if parsed.matches(dn)], [])

    def test_guide(self) -> None:
        """The guide's own example."""
        self.assert_matches(
            "1020,2020-2050,003000,556*,100*10,123??78,+408555",
            "1020 2020 2035 2050 003000 556 5561 556123 10010 100510 1001010 1230078 +408555",
            "1021 2019 2051 3000 0003000 55 100 1001 123078 12300078 408555 +1020 +5561",
        )

    def test_leading_zeros(self) -> None:
        """A DN is text: its leading zeros count, in ranges too."""
        self.assert_matches("0098-0102", "0098 0099 0100 0102", "98 99 100 0103 00099 098")

    def test_plus(self) -> None:
        """A leading plus is part of the DN, in single ones, ranges and patterns."""
        self.assert_matches("+4085-+4090", "+4085 +4090", "4085 +4091 +408")
        self.assert_matches("+49*,*7", "+49 +491 7 17", "49 +7 + +")

    def test_star(self) -> None:
        """A star is any run of digits, an empty one too, and nothing but digits."""
        self.assert_matches("*", "0 123", "+1 12a a")
        self.assert_matches("1*2*3", "123 1923 12223 199929993", "12 13 132 1234")

    def test_question_mark(self) -> None:
        """A question mark is exactly one digit."""
        self.assert_matches("8?", "80 89", "8 800 8+")
        self.assert_matches("?1,+?", "01 +5", "+1x + 1")

    def test_overlapping_ranges(self) -> None:
        """Ranges may overlap, contain one another and come in any order."""
        self.assert_matches(
            "3000-3900,1000-9000,9500-9600,8000-9100", "1000 3500 3950 9100 9550", "9101 0999"
        )

    def test_foreign_text(self) -> None:
        """What is no DN matches nothing, not even a star; nothing raises."""
        parsed = parse_dial_numbers("*,+*")
        for text in (
            "",
            "+",
            "alice",
            "1 2",
            "\uff11\uff12",
            "1\n",
            "++1",
            "1+1",
            "1" * 65,
            "\x00",
        ):
            self.assertFalse(parsed.matches(text), text)
        self.assertTrue(parsed.matches("1" * 64))

    def test_empty_list(self) -> None:
        """An empty list registers nobody."""
        for text in ("", "  "):
            self.assertFalse(parse_dial_numbers(text))
            self.assertFalse(parse_dial_numbers(text).matches("1"))
        self.assertTrue(parse_dial_numbers("1"))

    def test_hostile_pattern(self) -> None:
        """A pattern of many stars does not take exponential time."""
        parsed = parse_dial_numbers("*1" * 31 + "*2")
        self.assertFalse(parsed.matches("1" * 64))

    @given(patterns, dns)
    def test_patterns(self, pattern: str, dn: str) -> None:
        """Patterns match as the regular expression does that they stand for."""
        expression = re.escape(pattern).replace(r"\*", "[0-9]*").replace(r"\?", "[0-9]")
        expected = re.fullmatch(expression, dn) is not None
        self.assertEqual(parse_dial_numbers(pattern).matches(dn), expected)

    @given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 999)), max_size=6), st.data())
    def test_ranges(self, ends: list[tuple[int, int]], data: st.DataObject) -> None:
        """Ranges match as numbers of one width do."""
        ranges = [(min(pair), max(pair)) for pair in ends]
        text = ", ".join(f"{first:03}-{last:03}" for first, last in ranges)
        number = data.draw(st.integers(0, 999))
        expected = any(first <= number <= last for first, last in ranges)
        self.assertEqual(parse_dial_numbers(text).matches(f"{number:03}"), expected)


class RefusalTests(SynchronousTestCase):
    """What is refused, and what is said about it."""

    def assert_refused(self, text: str, entry: int, column: int, problem: str) -> None:
        """The list is refused at this place for this reason."""
        error = self.assertRaises(DialNumberError, parse_dial_numbers, text)
        self.assertEqual((error.entry, error.column), (entry, column))
        self.assertIn(problem, error.problem)
        self.assertIn(f"entry {entry} (column {column})", str(error))
        self.assertIn("2020-2050", str(error))

    def test_places(self) -> None:
        """The entry and the column are told, and what is accepted."""
        self.assert_refused("1020, 20x0", 2, 9, "'x' is in no DN")
        self.assert_refused("1020,,3", 2, 6, "nothing stands here")
        self.assert_refused("1020,", 2, 6, "nothing stands here")
        self.assert_refused("1, 2 ,3 4", 3, 8, "' ' is in no DN")

    def test_ranges(self) -> None:
        """A range has two ends of one width, the lower first, and no wildcards."""
        self.assert_refused("998-1002", 1, 1, "equally long")
        self.assert_refused("+100-200", 1, 1, "equally long")
        self.assert_refused("200-100", 1, 1, "above its last")
        self.assert_refused("1*-200", 1, 1, "no wildcards")
        for text in ("1-2-3", "-5", "5-", "-"):
            self.assert_refused(text, 1, 1, "not a range")

    def test_plus(self) -> None:
        """A plus stands first and not alone."""
        for text in ("1+2", "+", "++1", "*+"):
            self.assert_refused(text, 1, 1, "+ stands only")

    def test_length(self) -> None:
        """A DN has at most 64 characters."""
        self.assert_refused("1" * 65, 1, 1, "longer than 64")
        self.assertTrue(parse_dial_numbers("1" * 64 + "-" + "2" * 64))

    @given(st.text("0123456789*?+-, x\uff11", max_size=20))
    def test_any_text(self, text: str) -> None:
        """Any text is read or refused with its place."""
        try:
            parse_dial_numbers(text)
        except DialNumberError as error:
            self.assertTrue(1 <= error.column <= len(text) + 1)


class EqualityTests(SynchronousTestCase):
    """Lists that were read twice, as at a reload."""

    def test_same_list(self) -> None:
        """Lists that say the same are equal, in whatever order they say it."""
        one, other = (
            parse_dial_numbers(text) for text in ("1020,20-30,5*,6*", "6*,5*,25-30,20-26,1020")
        )
        self.assertEqual(one, other)
        self.assertEqual(hash(one), hash(other))

    def test_other_list(self) -> None:
        """Any DN, range or pattern more or less makes another list."""
        one = parse_dial_numbers("1020,20-30,5*")
        for text in ("1020,20-30", "1021,20-30,5*", "1020,20-31,5*", "1020,20-30,5*,6*", ""):
            self.assertNotEqual(one, parse_dial_numbers(text))
        self.assertNotEqual(one, "1020,20-30,5*")
