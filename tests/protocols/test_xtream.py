"""What panels answer is read, whatever odd shape it comes in, and refusals become sentences."""

from __future__ import annotations

import json
from collections import Counter
from functools import partial

from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProtocolError, ProviderError
from iptvd.model import Account, ProviderState
from iptvd.protocols import xtream
from iptvd.protocols.xtream import (
    Collected,
    check_answer,
    clean,
    collect,
    extension,
    link,
    live_entry,
    read_account,
    read_categories,
    rows,
    whole_number,
)


def listed(body: object) -> list[xtream.Row]:
    """The rows of a reply given as a value."""
    return list(rows(json.dumps(body).encode()))


def collected(body: object, groups: dict[str, str] | None = None, output: str = "ts") -> Collected:
    """The live entries of a reply given as a value."""
    into = Collected()
    make = partial(live_entry, groups=groups or {}, output=output)
    for _ in collect(rows(json.dumps(body).encode()), make, into.add, into.skipped):
        pass
    return into


def mixed(*values: object) -> tuple[object, ...]:
    """Values of many types."""
    return values


class ValueTests(SynchronousTestCase):
    """Single values."""

    def test_whole_numbers(self) -> None:
        """Numbers count however they are written, and nothing else does."""
        for value in mixed(51, 51.0, "51", " 51 ", "51.0", "+51", "051", "51."):
            self.assertEqual(whole_number(value), 51, value)
        for value in mixed(
            None, "", "x", "5 1", "5.5", 5.5, float("inf"), float("nan"), [], {}, "9" * 16, 10**15, 1e15
        ):
            self.assertIsNone(whole_number(value), value)
        self.assertEqual([whole_number(True), whole_number(False), whole_number("-3")], [1, 0, -3])

    def test_clean(self) -> None:
        """A name is one line of text, with its entities resolved."""
        self.assertEqual(clean(" Tom &amp; Jerry\n\tHD\x00 "), "Tom & Jerry HD")
        self.assertEqual(clean("caf&eacute; \ud800!"), "café !")
        self.assertEqual(
            [clean(24), clean(1.5), clean(None), clean(True), clean([]), clean({})], ["24", "1.5"] + [""] * 4
        )
        self.assertEqual(len(clean("x" * 10_000)), xtream.LONGEST_NAME)

    def test_link(self) -> None:
        """A logo is an http or https address, anything else is none."""
        self.assertEqual(link(" http://logo.example.com/a b.png "), "http://logo.example.com/a%20b.png")
        for value in mixed(
            None,
            "",
            5,
            "/images/a.png",
            "file:///etc/passwd",
            'http://x"><script>',
            "http://" + "x" * 3000,
        ):
            self.assertEqual(link(value), "", value)

    def test_extension(self) -> None:
        """A container is a short word of letters and digits, mp4 if it is not."""
        self.assertEqual([extension("mkv"), extension(".AVI "), extension("m4v")], ["mkv", "avi", "m4v"])
        for value in mixed(None, "", "mp4/../x", "matroska", 4, [], "m?v"):
            self.assertEqual(extension(value), "mp4", value)


class AnswerTests(SynchronousTestCase):
    """Whether a response is an answer."""

    def state(self, status: int, body: bytes = b"") -> tuple[ProviderState, str]:
        """The state and the sentence of the error for a response."""
        error: ProviderError = self.assertRaises(ProviderError, check_answer, status, body, "the films")
        self.assertIn("asked for the films", error.sentence)
        return error.state, error.sentence

    def test_good(self) -> None:
        """JSON under status 200 is an answer."""
        check_answer(200, b" []", "the films")

    def test_page(self) -> None:
        """A web page instead of JSON is said to be one."""
        for body in (b"<!DOCTYPE html>", b"\xef\xbb\xbf\r\n <html>", b"<br />\n<b>Warning</b>: mysqli"):
            state, sentence = self.state(200, body)
            self.assertEqual(state, ProviderState.NOT_UNDERSTOOD)
            self.assertIn("a web page instead of JSON", sentence)

    def test_nothing(self) -> None:
        """An empty response is no empty list."""
        self.assertEqual(self.state(200, b" \n")[0], ProviderState.NOT_UNDERSTOOD)

    def test_statuses(self) -> None:
        """Each status that is no success says what it means, with its number."""
        for status, body, state in (
            (401, b"<html>", ProviderState.AUTH_FAILED),
            (403, b"denied", ProviderState.AUTH_FAILED),
            (403, b"<html>", ProviderState.BLOCKED),
            (429, b"", ProviderState.BLOCKED),
            (451, b"<html>", ProviderState.BLOCKED),
            (500, b"[]", ProviderState.UNREACHABLE),
            (503, b"<html>", ProviderState.UNREACHABLE),
            (884, b"", ProviderState.UNREACHABLE),
            (404, b"<html>", ProviderState.NOT_UNDERSTOOD),
            (302, b"", ProviderState.NOT_UNDERSTOOD),
        ):
            found, sentence = self.state(status, body)
            self.assertEqual(found, state, status)
            self.assertIn(str(status), sentence)


class AccountTests(SynchronousTestCase):
    """The answer to a login."""

    def account(self, **info: object) -> Account:
        """The account out of a login."""
        return read_account(json.dumps({"user_info": info, "server_info": {}}).encode())

    def test_whole(self) -> None:
        """The account's limits are taken over, as numbers or as strings."""
        expected = Account("Active", 2, 1, 1735689600.0, True)
        self.assertEqual(
            self.account(
                auth=1, status="Active", max_connections="2", active_cons="1", exp_date="1735689600", is_trial="1"
            ),
            expected,
        )
        self.assertEqual(
            self.account(auth="1", status="Active", max_connections=2, active_cons=1, exp_date=1735689600, is_trial=1),
            expected,
        )

    def test_sparse(self) -> None:
        """What a panel does not tell of an account does no harm."""
        for value in mixed(None, "", "0", 0, [], "never", -5):
            account = self.account(auth=True, exp_date=value, max_connections=value, active_cons=value, is_trial=None)
            self.assertEqual(account, Account())
        self.assertEqual(self.account(status="Active"), Account("Active"))

    def test_refused(self) -> None:
        """An account that is not let in is said to be so."""
        for body in (
            b'{"user_info":{"auth":0}}',
            b'{"user_info":{"auth":"0","status":"Active"}}',
            b'{"user_info":{}}',
            b'{"user_info":[]}',
            b'{"user_info":null}',
            b"[]",
            b"{}",
            b'{"message":"no"}',
        ):
            error: ProviderError = self.assertRaises(ProviderError, read_account, body)
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)

    def test_ended(self) -> None:
        """An account that has expired, or was banned or disabled, is named so."""
        for status in ("Expired", "Banned", "DISABLED"):
            error: ProviderError = self.assertRaises(ProviderError, self.account, auth=1, status=status)
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)
            self.assertIn(status.lower(), error.sentence)

    def test_no_json(self) -> None:
        """A login that is cut short is no refusal."""
        self.assertRaises(ProtocolError, read_account, b'{"user_info": {"auth"')


class ListTests(SynchronousTestCase):
    """Lists of rows."""

    def test_shapes(self) -> None:
        """A list may come as an array or as an object."""
        one, two = {"stream_id": 1}, {"stream_id": 2}
        self.assertEqual(listed([one, two]), [one, two])
        self.assertEqual(listed({"0": one, "7": two, "total": 2}), [one, two])

    def test_nothing(self) -> None:
        """What PHP gives for nothing is an empty list."""
        for body in mixed([], {}, None, False, ""):
            self.assertEqual(listed(body), [])
        self.assertEqual(list(rows(b"\xef\xbb\xbf null\n")), [])

    def test_message(self) -> None:
        """A message in place of a list is no empty list."""
        for body in ({"error": "overloaded"}, "overloaded", 5, True):
            self.assertRaises(ProtocolError, listed, body)

    def test_login_in_place_of_a_list(self) -> None:
        """A panel that answers with a refusal whatever it is asked is understood."""
        for info in mixed({"auth": 0}, [], {"auth": 1, "status": "Expired"}):
            error: ProviderError = self.assertRaises(ProviderError, listed, {"user_info": info})
            self.assertEqual(error.state, ProviderState.AUTH_FAILED)
        error = self.assertRaises(ProviderError, listed, {"user_info": {"auth": 1}})
        self.assertEqual(error.state, ProviderState.NOT_UNDERSTOOD)

    def test_left_out(self) -> None:
        """Rows without a usable id and second ones of the same id are left out and counted."""
        found = collected(
            [{"stream_id": 1, "name": "A"}, {"stream_id": "1", "name": "B"}, {"name": "C"}, 7, None, {"stream_id": 0}]
        )
        self.assertEqual([entry.name for entry in found.entries], ["A"])
        self.assertEqual(found.skipped, Counter({"without a usable id": 4, "listed twice": 1}))

    def test_too_many(self) -> None:
        """A list without end is taken up to a bound, and what is behind it is counted."""
        self.patch(xtream, "MOST_ROWS", 40)
        found = collected([{"stream_id": number} for number in range(1, 101)])
        self.assertEqual((len(found.entries), found.skipped), (40, Counter({"behind the first 40": 60})))

    def test_small_steps(self) -> None:
        """A long list is read in short steps."""
        into = Collected()
        body = json.dumps([{"stream_id": number} for number in range(1, 1001)]).encode()
        make = partial(live_entry, groups={}, output="ts")
        seen = [len(into.entries) for _ in collect(rows(body), make, into.add, into.skipped)]
        self.assertEqual(seen, list(range(xtream.ROWS_A_STEP, 1001, xtream.ROWS_A_STEP)))

    def test_categories(self) -> None:
        """Categories are known by their ids, written as numbers or as strings."""
        groups: dict[str, str] = {}
        body = [{"category_id": "5", "category_name": "News &amp; Talk"}, {"category_id": 6, "category_name": "Sport"}]
        list(read_categories(json.dumps(body).encode(), groups))
        self.assertEqual(groups, {"5": "News & Talk", "6": "Sport"})


class TellingTests(SynchronousTestCase):
    """What was not understood."""

    def test_told(self) -> None:
        """Of an answer that is not understood it is said what was asked for; an answer that is passes."""
        with xtream.telling("the films"):
            rows(b"[]")

        def misunderstood() -> None:
            with xtream.telling("the films"):
                list(rows(b"{"))

        error = self.assertRaises(ProviderError, misunderstood)
        self.assertIs(error.state, ProviderState.NOT_UNDERSTOOD)
        self.assertIn("asked for the films, the panel answered something odd: the JSON is cut short", error.sentence)
