"""Tests of the operator's own channels."""

from __future__ import annotations

import tomllib

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase

from iptvd.discovery import Found
from iptvd.errors import ConfigError, ProviderError
from iptvd.model import ChannelKind, Entry, Listing, ProviderState, Source, SourceKind
from iptvd.provider_specs import Value, read_providers
from iptvd.providers.channels import ChannelsProvider, ChannelsSettings, channels
from tests.doubles import folder_for
from tests.providers.test_contract import context_for, given

AGENT = ("User-Agent", "iptvd")

ROOF = {"name": "Roof camera", "url": "http://camera.test/roof"}


def settings(*tables: object) -> ChannelsSettings:
    return ChannelsSettings(channel=tables)


class ReadTests(SynchronousTestCase):
    def entry(self, **fields: object) -> Entry:
        (channel,) = settings({"name": "X", **fields}).channel
        return channel.entry

    def error(self, *tables: object) -> str:
        with self.assertRaises(ValueError) as raised:
            settings(*tables)
        return str(raised.exception)

    def test_whole(self) -> None:
        """Everything that can be said of a channel gets into the lineup."""
        text = """
        [[channel]]
        name = "Roof camera"
        url = "http://camera.test/roof"
        group = "House"
        number = 7
        tvg_id = "roof.house"
        logo = "https://logos.test/roof.png"
        form = "hls"
        sharing = "isolated"
        key = "roof"
        """
        self.assertEqual(
            [channel.entry for channel in ChannelsSettings(**tomllib.loads(text)).channel],
            [
                Entry(
                    "roof",
                    "Roof camera",
                    source_kind=SourceKind.HLS,
                    extension="m3u8",
                    group="House",
                    number=7,
                    tvg_id="roof.house",
                    logo="https://logos.test/roof.png",
                    sharing="isolated",
                )
            ],
        )

    def test_forms(self) -> None:
        """What a channel is shows in its URL, and can be said where it does not."""
        live, radio, vod = ChannelKind.LIVE, ChannelKind.RADIO, ChannelKind.VOD
        for fields, kind, source_kind, extension in (
            ({"url": "http://a.test/x"}, live, SourceKind.TS, "ts"),
            ({"url": "http://a.test/x.m3u8?t=1"}, live, SourceKind.HLS, "m3u8"),
            ({"url": "http://a.test/x.MKV"}, vod, SourceKind.VOD, "mkv"),
            ({"url": "http://a.test/x.mp4", "form": "ts"}, live, SourceKind.TS, "ts"),
            ({"url": "http://a.test/x.mp4", "form": "ts", "radio": True}, radio, SourceKind.TS, "ts"),
            ({"url": "http://a.test/x", "form": "ts"}, live, SourceKind.TS, "ts"),
            ({"url": "http://a.test/x", "form": "hls", "radio": True}, radio, SourceKind.HLS, "m3u8"),
            ({"url": "http://a.test/x", "form": "vod"}, vod, SourceKind.VOD, "mp4"),
            ({"url": "http://a.test/x.avi", "form": "vod"}, vod, SourceKind.VOD, "avi"),
            ({"url": "http://a.test/x", "radio": True}, radio, SourceKind.TS, "ts"),
            ({"url": "http://a.test/x.mp3"}, radio, SourceKind.TS, "mp3"),
            ({"command": ["cat", "/dev/dvb"]}, live, SourceKind.TS, "ts"),
            ({"command": ["cat", "/dev/dvb"], "form": "ts", "radio": True}, radio, SourceKind.TS, "ts"),
            ({"file": "/srv/film.mkv"}, vod, SourceKind.VOD, "mkv"),
            ({"file": "/srv/film", "form": "vod"}, vod, SourceKind.VOD, "mp4"),
        ):
            entry = self.entry(**fields)
            self.assertEqual((entry.kind, entry.source_kind, entry.extension), (kind, source_kind, extension), fields)

    def test_keys(self) -> None:
        """A channel is known by its key, else by a tvg_id that is its alone, else by its name."""
        own = settings(
            {**ROOF, "key": "k", "tvg_id": "x"},
            {**ROOF, "name": "Door", "tvg_id": "door"},
            {**ROOF, "name": "Left", "tvg_id": "twin"},
            {**ROOF, "name": "Right", "tvg_id": "twin"},
            {**ROOF, "name": "Cellar"},
        )
        self.assertEqual([channel.key for channel in own.channel], ["k", "door", "Left", "Right", "Cellar"])

    def test_same_key(self) -> None:
        """Two channels that could not be told apart are refused, with where they are."""
        self.assertEqual(
            self.error(ROOF, {**ROOF, "name": "Door"}, ROOF),
            'channel 3 ("Roof camera"): key must be given, and be one of its own: '
            "without it this channel has the same as channel 1",
        )

    def test_read_again(self) -> None:
        """Settings that were read can be read again."""
        own = settings(ROOF, {**ROOF, "key": "other"})
        self.assertEqual(evolve(own), own)

    def test_wrong(self) -> None:
        """What is wrong is told with the channel, the field and what would be right."""
        name, url = {"name": "X"}, {"url": "http://a.test/x"}
        for table, words in (
            (3, "it must be a table"),
            ({**name, **url, "colour": 1}, "colour is no field of a channel; the fields are name, url, command"),
            ({**name, **url, "http://a.test/?p=secret": 1}, "there is what is no field"),
            (url, "name must be there"),
            ({"name": " ", **url}, "name must be there"),
            ({"name": 4, **url}, "name must be a string of one line"),
            ({"name": "a\nb", **url}, "name must be a string of one line"),
            ({"name": "x" * 8193, **url}, "at most 8192 characters"),
            (name, "exactly one of url, command and file"),
            ({**name, **url, "file": "/x"}, "exactly one of url, command and file"),
            ({**name, "url": "ftp://a.test/x"}, "url must be the whole http or https URL; for anything else"),
            ({**name, "url": "rtsp://a.test/x"}, "url must be the whole http or https URL; for anything else"),
            ({**name, "url": "http://a.test/x.mpd"}, "url must be the whole http or https URL; for anything else"),
            ({**name, "url": "/srv/film"}, "url must be the whole http or https URL"),
            ({**name, "command": "ffmpeg -i x"}, "command must be a list of strings"),
            ({**name, "command": []}, "command must be a list of strings"),
            ({**name, "command": [""]}, "command must be a list of strings"),
            ({**name, "command": ["x", 1]}, "command must be a list of strings"),
            ({**name, "command": ["x\0"]}, "command must be a list of strings"),
            ({**name, "file": "film.mp4"}, "file must be an absolute path"),
            ({**name, "file": "/x", "form": "ts"}, "form goes with a url"),
            ({**name, "command": ["x"], "form": "hls"}, "form goes with a url"),
            ({**name, **url, "form": "dash"}, 'form must be "ts", "hls" or "vod"'),
            ({**name, **url, "radio": "yes"}, "radio must be true or false"),
            ({**name, "file": "/x.mp3", "radio": True}, "radio is for what is live"),
            ({**name, **url, "form": "vod", "radio": True}, "radio is for what is live"),
            ({**name, **url, "sharing": "always"}, "sharing must be one of auto, shared, isolated"),
            ({**name, **url, "sharing": ""}, "sharing must be one of auto, shared, isolated"),
            ({**name, **url, "sharing": True}, "sharing must be a string"),
            ({**name, "file": "/x", "sharing": "shared"}, "sharing is for what is live"),
            ({**name, **url, "number": 0}, "number must be a whole number from 1 on"),
            ({**name, **url, "number": 2**31}, "number must be a whole number from 1 on"),
            ({**name, **url, "number": True}, "number must be a whole number from 1 on"),
            ({**name, **url, "number": "3"}, "number must be a whole number from 1 on"),
            ({**name, **url, "logo": "roof.png"}, "logo must be the whole http or https URL"),
            ({**name, **url, "headers": ["Referer"]}, "headers must be a table of strings"),
            ({**name, **url, "headers": {"Referer": 1}}, "headers must be a table of strings"),
            ({**name, **url, "headers": {"Re ferer": "x"}}, "headers must have well-formed names"),
            ({**name, **url, "headers": {"Referer": "x\r\nHost: y"}}, "headers must have well-formed names"),
            ({**name, **url, "headers": {"Connection": "close"}}, "headers must have well-formed names"),
            ({**name, "file": "/x", "headers": {"Referer": "x"}}, "headers go with a url"),
        ):
            error = self.error(ROOF, table)
            self.assertRegex(error, r"\Achannel 2( \(\"X\"\))?: ", table)
            self.assertIn(words, error)
            self.assertNotIn("secret", error)
        for value in ("x", {"name": "X"}, None):
            with self.assertRaisesRegex(ValueError, r"\[\[provider.channel\]\]"):
                ChannelsSettings(channel=value)

    def test_name_that_is_a_url(self) -> None:
        """A URL that got into the name is not repeated in an error."""
        error = self.error({"name": "http://user:secret@a.test/"})
        self.assertEqual(error, "channel 1: exactly one of url, command and file must be there")

    def test_nothing_secret(self) -> None:
        """Neither URLs, nor commands, nor headers are shown with the settings."""
        own = settings(
            {**ROOF, "url": "http://u:secret@a.test/secret", "headers": {"Authorization": "secret"}},
            {"name": "B", "command": ["secret"]},
            {"name": "C", "file": "/secret", "logo": "http://a.test/secret"},
        )
        for text in (repr(own), repr(own.channel), " ".join(map(str, own.channel))):
            self.assertNotIn("secret", text)
        self.assertEqual(str(own.channel[0]), '"Roof camera"')


class SettingsTests(SynchronousTestCase):
    def read(self, text: str) -> ChannelsSettings:
        """As the daemon reads a settings file."""
        tables = Value(tomllib.loads(text)["provider"], "iptvd.toml")
        (spec,) = read_providers((), tables, {}, {}, Found({"channels": channels}, {})).specs
        assert isinstance(spec.settings, ChannelsSettings)
        return spec.settings

    def test_file(self) -> None:
        """Channels are tables under their provider."""
        own = self.read(
            """
            [[provider]]
            kind = "channels"
            name = "mine"

            [[provider.channel]]
            name = "Roof camera"
            url = "http://camera.test/roof"
            headers = { Referer = "http://camera.test/" }

            [[provider.channel]]
            name = "Door"
            command = ["ffmpeg", "-i", "/dev/video0", "-f", "mpegts", "-"]
            """
        )
        self.assertEqual([channel.name for channel in own.channel], ["Roof camera", "Door"])

    def test_error(self) -> None:
        """The daemon says which channel of which provider is wrong, and why."""
        for name, shown in (("Roof camera", ' ("Roof camera")'), ("http://u:p@a.test/?x", "")):
            with self.assertRaises(ConfigError) as raised:
                self.read(f'[[provider]]\nkind = "channels"\n[[provider.channel]]\nname = "{name}"\nurl = "x:/y"')
            self.assertEqual(
                raised.exception.sentence,
                'channel of the provider "channels" (iptvd.toml) is not right: '
                f"channel 1{shown}: url must be the whole http or https URL; "
                "for anything else write a command that runs ffmpeg.",
            )

    def test_argument(self) -> None:
        """Nothing follows it on the command line."""
        self.assertEqual(channels.settings_from_argument(""), {})
        with self.assertRaisesRegex(ConfigError, "settings file"):
            channels.settings_from_argument("http://a.test/")


class ProviderTests(SynchronousTestCase):
    def provider(self, *tables: object) -> ChannelsProvider:
        return channels.make(settings(*tables), context_for(self))

    def source(self, **fields: object) -> Source:
        provider = self.provider({"name": "X", **fields})
        listing = given(provider.fetch())
        assert isinstance(listing, Listing)
        (source,) = given(provider.resolve(listing.entries[0]))
        return source

    def error(self, provider: ChannelsProvider, entry: Entry | None = None) -> ProviderError:
        with self.assertRaises(ProviderError) as raised:
            given(provider.resolve(entry) if entry else provider.fetch())
        error: ProviderError = raised.exception
        return error

    def test_empty(self) -> None:
        """Without a channel the operator is told how to write one."""
        error = self.error(self.provider())
        self.assertEqual(error.state, ProviderState.UNCONFIGURED)
        self.assertIn("[[provider.channel]]", error.sentence)

    def test_unchanged(self) -> None:
        """Nothing changes after the first look."""
        provider = self.provider(ROOF)
        self.assertIsNotNone(given(provider.fetch()))
        self.assertIsNone(given(provider.fetch()))

    def test_url(self) -> None:
        """A URL is asked with its own headers, and with the User-Agent that is set unless it has one."""
        source = self.source(url="http://a.test/x", headers={"Referer": "http://b.test/"})
        expected = Source(SourceKind.TS, url="http://a.test/x", headers=(("Referer", "http://b.test/"), AGENT))
        self.assertEqual(source, expected)
        source = self.source(url="http://a.test/x", headers={"user-agent": "own"})
        self.assertEqual(source.headers, (("user-agent", "own"),))
        silent = ChannelsProvider(settings(ROOF), evolve(context_for(self), user_agent=""))
        (source,) = given(silent.resolve(Entry("Roof camera", "Roof camera")))
        self.assertEqual(source.headers, ())

    def test_command(self) -> None:
        """A command is run as it is written, without a shell."""
        words = ["ffmpeg", "-i", "a b; c", "-f", "mpegts", "-"]
        self.assertEqual(self.source(command=words), Source(SourceKind.TS, command=tuple(words)))

    def test_file(self) -> None:
        """A file is served while it is there; when it is not, the viewer reads so."""
        film = folder_for(self) / "film.mp4"
        provider, entry = self.provider({"name": "Film", "file": str(film)}), Entry("Film", "Film")
        film.touch()
        self.assertEqual(given(provider.resolve(entry)), (Source(SourceKind.VOD, path=str(film)),))
        film.unlink()
        error = self.error(provider, entry)
        self.assertEqual(error.state, ProviderState.UNREACHABLE)
        self.assertEqual(error.sentence, "The file of Film is not there, or may not be read.")
        film.mkdir()
        self.error(provider, entry)

    def test_removed(self) -> None:
        """A channel that was taken out of the settings is gone, whatever was kept on disk of it."""
        kept = Entry(
            "old", "Old", origin={"command": ["rm", "-rf", "/"], "url": "http://a.test/", "file": "/etc/passwd"}
        )
        self.assertEqual(self.error(self.provider(ROOF), kept).state, ProviderState.UNREACHABLE)
