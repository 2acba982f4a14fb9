"""The settings of a website."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from iptvd.website.settings import WebsiteSettings


class SettingsTests(SynchronousTestCase):
    def test_addresses(self) -> None:
        """Addresses come as one text or as a list, and lose their last slash."""
        both = ("https://one.test", "http://two.test:81/tv")
        for value in (
            "https://one.test/ http://two.test:81/tv",
            " https://one.test,http://two.test:81/tv/, https://one.test",
            ["https://one.test", " ", "http://two.test:81/tv/"],
            both,
        ):
            self.assertEqual(WebsiteSettings(base_url=value).base_url, both)
        for nothing in ("", "  ", (), list[str]()):
            self.assertEqual(WebsiteSettings(base_url=nothing).base_url, ())

    def test_wrong(self) -> None:
        """What cannot be meant is refused, with what would be right, and without repeating an address."""
        wrong: dict[str, tuple[Any, ...]] = {
            "base_url": (
                "tv.test",
                "ftp://tv.test",
                "https://me:canary@tv.test",
                "https://tv.test/?canary",
                "https://tv.test/#x",
                7,
                [7],
                " ".join(f"http://{number}.test" for number in range(21)),
            ),
            "method": ("put", ""),
            "timezone": ("Nowhere/Else", "../canary", "a" * 300),
            "group_by": ("name",),
            "logos": ("no", "{name}.png", "/a {slug}"),
            "stream_paths": ((), ("a/b",), ("..",), ("",), "stream", ("a",) * 21),
            "lookup": ("look", "/{server}", "/{key", "/}", "/a b"),
            "playlist": ("ftp://{server}/{key}", "https://{host}/x", "https://{server}/{key}\n"),
            "playlist_path": ("{first}", "https://{first}.{cdn}/{}"),
            "cdn": ("a/b", "a b", "http://a"),
        }
        for name, values in wrong.items():
            for value in values:
                with self.assertRaises(ValueError, msg=f"{name}: {value}") as raised:
                    WebsiteSettings(**{name: value})
                self.assertNotIn("canary", str(raised.exception))

    def test_right(self) -> None:
        """What is sensible is taken."""
        right: dict[str, Any] = {
            "method": "post",
            "timezone": "UTC",
            "logos": "https://logos.test/{slug}.jpg",
            "stream_paths": ("stream", "live-2"),
            "lookup": "https://look.test/?k={key}",
            "playlist": "http://127.0.0.1:8080/{server}/{key}/index.m3u8",
            "cdn": "cdn.test:8443",
        }
        settings = WebsiteSettings(**right)
        for name, value in right.items():
            self.assertEqual(getattr(settings, name), value)
        self.assertEqual(WebsiteSettings(logos="").logos, "")

    def test_no_host(self) -> None:
        """No default names a host."""
        self.assertNotRegex(repr(WebsiteSettings()), r"\w://(?![{])|\.(?:com|net|org|test)")
