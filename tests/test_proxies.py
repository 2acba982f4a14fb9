"""Through which proxy what is for a provider goes."""

from __future__ import annotations

from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from iptvd.errors import ProviderError
from iptvd.model import ProviderState, Source, SourceKind
from iptvd.protocols.socks5 import Proxy, read_proxy
from iptvd.proxies import Fetchers, sources_through
from tests.daemon.harness import free_port
from tests.delivery.stage import descriptors, until
from tests.doubles import result
from tests.simulators.running import OriginProcess
from tests.simulators.socks import EXIT, Line, ScriptedProxy, microsocks

PROXY = Proxy("proxy.test", 1080, "bob", "canary")
STREAM = Source(SourceKind.TS, url="http://origin.test/1.ts")
FILE = Source(SourceKind.VOD, path="/films/1.mp4")
COMMAND = Source(SourceKind.TS, command=("ffmpeg", "-i", "rtmp://origin.test/1"))
DRAWN = Source(SourceKind.TS, command=("ffmpeg", "-f", "lavfi"), offline=True)


class SourcesTests(SynchronousTestCase):
    def test_straight(self) -> None:
        """Without a proxy sources stay as they are."""
        self.assertEqual(sources_through(None, [STREAM, COMMAND]), [STREAM, COMMAND])

    def test_through(self) -> None:
        """Every source is to be had through the proxy, and what could go past it is left out."""
        found = sources_through(PROXY, [COMMAND, STREAM, FILE, DRAWN])
        self.assertEqual([each.proxy for each in found], [PROXY] * 3)
        kept = [(each.url, each.path, each.command) for each in found]
        self.assertEqual(kept, [(STREAM.url, "", ()), ("", FILE.path, ()), ("", "", DRAWN.command)])
        self.assertEqual(sources_through(PROXY, []), [])

    def test_what_cannot(self) -> None:
        """A channel that only a program could fetch is refused, with what may be done about it."""
        with self.assertRaises(ProviderError) as caught:
            sources_through(PROXY, [COMMAND])
        self.assertIs(caught.exception.state, ProviderState.UNCONFIGURED)
        self.assertIn('socks5 = "none"', caught.exception.sentence)
        self.assertNotIn("test", caught.exception.sentence)

    def test_no_secrets(self) -> None:
        """Nothing of a proxy is in what a log might show of a source."""
        (found,) = sources_through(PROXY, [STREAM])
        self.assertNotIn("canary", repr(found))
        self.assertNotIn("proxy.test", repr(found))


class FetchersTests(SynchronousTestCase):
    def test_one_for_each(self) -> None:
        """Each proxy has a fetcher of its own, which stays the same, and so has what goes straight."""
        fetchers = Fetchers(MemoryReactorClock(), "iptvd/test", 5.0)
        found = [fetchers.through(each) for each in (None, PROXY, Proxy("proxy.test", 1080), None, PROXY)]
        self.assertEqual(found[:2], found[3:])
        self.assertEqual(len(set(map(id, found))), 3)
        result(fetchers.stop())


@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_over_the_network(origin: OriginProcess, tmp_path: Path) -> None:
    """A page comes through the proxy that was named, also when another way to it is open already."""
    fetchers = Fetchers(reactor, "iptvd/test", 5.0)
    try:
        with microsocks(tmp_path, locked=True) as proxy:
            straight, through = fetchers.through(None), fetchers.through(read_proxy(proxy.address))
            for fetcher, path in ((straight, "/lists/basic.m3u"), (through, "/lists/big.m3u"), (straight, "/hls/x")):
                await fetcher.get(origin.at(path, count=5))
            await through.get(origin.at("/lists/basic.m3u.gz", redirect="/hls/plain/index.m3u8"))
        seen = {path: dict(origin.counts(path).peers) for path in ("/lists/basic.m3u", "/lists/big.m3u", "/hls/x")}
        assert seen == {"/lists/basic.m3u": {"127.0.0.1": 1}, "/lists/big.m3u": {EXIT: 1}, "/hls/x": {"127.0.0.1": 1}}
        assert dict(origin.counts("/hls/plain/index.m3u8").peers) == {EXIT: 1}
    finally:
        await fetchers.stop()


@pytest.mark.parametrize(
    ("says", "sentence"),
    [
        (None, "the SOCKS proxy refuses the connection"),
        (b"\x05\xff", "the SOCKS proxy wants another user name and password than it is given"),
        (b"SSH-2.0", "what is at the proxy's address does not speak SOCKS5"),
    ],
)
@pytest_twisted.ensureDeferred  # type: ignore[untyped-decorator]
async def test_why_not(says: bytes | None, sentence: str) -> None:
    """When the proxy is to blame the sentence says so, without naming anybody."""
    before = descriptors()
    fetchers = Fetchers(reactor, "iptvd/test", 5.0)
    with ScriptedProxy([Line(3, says or b"")]) as scripted:
        port = scripted.port if says else free_port()
        for scheme in ("http", "https"):
            with pytest.raises(ProviderError) as caught:
                await fetchers.through(Proxy("127.0.0.1", port)).get(f"{scheme}://origin.test/list.m3u")
            assert isinstance(caught.value, ProviderError)
            assert (caught.value.state, caught.value.sentence) == (ProviderState.UNREACHABLE, sentence)
    await fetchers.stop()
    await until(lambda: descriptors() <= before)
