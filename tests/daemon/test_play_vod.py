"""Films: played with their duration, sought in, and given out byte for byte in whatever part is asked for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from email.utils import formatdate
from urllib.parse import quote

import pytest

from tests.daemon.judges import judge
from tests.daemon.playing import Own, Playing, playing, watch
from tests.simulators.media import SECONDS, Media, find_ffmpeg
from tests.simulators.running import OriginProcess

pytestmark = pytest.mark.daemon

FORMS = ("mp4", "mkv", "ts")
#: The two ways in which a film is there, and what is in them for each form.
KINDS = ("file", "http")
FILMS = [f"{kind} {form}" for kind in KINDS for form in FORMS]
SHORT = "Short"


@pytest.fixture(scope="module")
def films(media: Media, shared_origin: OriginProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Playing]:
    """A daemon with films on the origin and on this machine."""
    folder = tmp_path_factory.mktemp("vod")
    (folder / "empty.mp4").touch()
    (folder / "odd name #1.mp4").write_bytes(media.read("film.mp4"))
    channels = [
        *(Own(f"http {form}", shared_origin.at(f"/vod/film.{form}"), 'form = "vod"') for form in FORMS),
        *(Own(f"file {form}", more=f'file = "{media.path(f"film.{form}")}"') for form in FORMS),
        Own("Big", shared_origin.at("/vod/big.ts"), 'form = "vod"'),
        Own(SHORT, shared_origin.at("/vod/short/film.mp4")),
        Own("Empty file", more=f'file = "{folder}/empty.mp4"'),
        Own("Odd name", more=f'file = "{folder}/odd name #1.mp4"'),
        Own("Escaped", shared_origin.at(f"/vod/{quote('a folder & more')}/film.mp4")),
        Own("Gone", more=f'file = "{folder}/gone.mp4"'),
    ]
    (folder / "gone.mp4").touch()
    with playing(folder, channels) as daemon:
        yield daemon
        daemon.assert_balanced()


@pytest.mark.parametrize("film", FILMS)
def test_plays(films: Playing, origin: OriginProcess, film: str) -> None:
    """A film plays without a complaint, and the player knows how long it is."""
    watched = watch(films.url_of(film))
    watched.assert_plays()
    assert watched.probed.seconds == pytest.approx(SECONDS, abs=0.3)
    verdict = judge(films.url_of(film), SECONDS)
    assert verdict.good, verdict


@pytest.mark.parametrize("film", FILMS)
def test_whole(films: Playing, origin: OriginProcess, media: Media, film: str) -> None:
    """A film comes byte for byte, with its length and type; HEAD tells the same without a body."""
    form = film.partition(" ")[2]
    types = {"mp4": "video/mp4", "mkv": "video/x-matroska", "ts": "video/mp2t"}
    path = films.path_of(film)
    assert path.endswith(f".{form}")
    answer = films.get(path)
    assert (answer.status, answer.headers["content-type"]) == (200, types[form])
    assert answer.body == media.read(f"film.{form}")
    head = films.head(path)
    assert (head.status, head.body) == (200, b"")
    for name in ("content-length", "content-type", "etag", "last-modified", "accept-ranges"):
        assert head.headers[name] == answer.headers[name]


@pytest.mark.parametrize("film", FILMS)
def test_ranges(films: Playing, origin: OriginProcess, media: Media, film: str) -> None:
    """Any part of a film can be had: from here to there, from here on, the last so many, and the first bytes alone."""
    data, path = media.read(f"film.{film.partition(' ')[2]}"), films.path_of(film)
    size = len(data)
    ranges = {
        "0-0": (0, 1),
        "0-1": (0, 2),
        "0-9999": (0, 10_000),
        "1000-1999": (1000, 2000),
        f"{size - 5}-": (size - 5, size),
        "-188": (size - 188, size),
        f"500-{size + 10}": (500, size),
        f"-{size + 10}": (0, size),
        "0-": (0, size),
    }
    for wanted, (start, stop) in ranges.items():
        answer = films.get(path, {"Range": f"bytes={wanted}"})
        assert (answer.status, answer.body == data[start:stop]) == (206, True), wanted
        assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - start)


@pytest.mark.parametrize("film", ["file mp4", "http mp4"])
def test_no_such_range(films: Playing, origin: OriginProcess, media: Media, film: str) -> None:
    """A part past the end is a 416 that says how long the film is."""
    size = len(media.read("film.mp4"))
    answer = films.get(films.path_of(film), {"Range": f"bytes={size}-"})
    assert (answer.status, answer.headers["content-range"]) == (416, f"bytes */{size}")


@pytest.mark.parametrize("film", ["file mp4", "http mp4"])
def test_if_range(films: Playing, origin: OriginProcess, film: str) -> None:
    """A part is given only if the film is still the one the player knows, else all of it."""
    path = films.path_of(film)
    head = films.head(path)
    matching = (head.headers["etag"], head.headers["last-modified"])
    for condition in matching:
        answer = films.get(path, {"Range": "bytes=0-99", "If-Range": condition})
        assert (answer.status, len(answer.body)) == (206, 100), condition
    for condition in ('"another"', formatdate(1_000_000_000, usegmt=True)):
        answer = films.get(path, {"Range": "bytes=0-99", "If-Range": condition})
        assert (answer.status, str(len(answer.body))) == (200, head.headers["content-length"]), condition


@pytest.mark.parametrize("film", ["file mp4", "http mp4"])
def test_head_of_a_part(films: Playing, origin: OriginProcess, film: str) -> None:
    """HEAD for a part tells its length, and has no body."""
    answer = films.head(films.path_of(film), {"Range": "bytes=10-19"})
    assert (answer.status, answer.headers["content-length"], answer.body) == (206, "10", b"")


@pytest.mark.parametrize("film", FILMS)
def test_seek(films: Playing, origin: OriginProcess, film: str) -> None:
    """A player that seeks gets the pictures from there on, and no more than it needs of what was before."""
    command = [find_ffmpeg(), "-nostdin", "-v", "error", "-xerror", "-ss", "15", "-i", films.url_of(film)]
    command += ["-map", "0:v", "-f", "framecrc", "-"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    pictures = [line for line in done.stdout.splitlines() if not line.startswith(b"#")]
    assert (done.returncode, len(pictures)) == (0, 125), done.stderr


def test_an_origin_without_ranges(films: Playing, origin: OriginProcess, media: Media) -> None:
    """From an origin that knows no ranges a player gets the whole film, and can tell."""
    origin.control("/vod/film.mp4", noranges=1)
    answer = films.get(films.path_of("http mp4"), {"Range": "bytes=5-9"})
    assert (answer.status, answer.body) == (200, media.read("film.mp4"))


def test_far_into_a_big_one(films: Playing, origin: OriginProcess) -> None:
    """A part of a film of a gigabyte comes without the rest being fetched."""
    path = films.path_of("Big")
    answer = films.get(path, {"Range": "bytes=1000000000-1000000999"})
    assert (answer.status, len(answer.body)) == (206, 1000)
    with films.open_stream(path) as stream:
        assert len(stream.read(1_000_000)) == 1_000_000
    films.wait_for_active(0)
    assert origin.counts("/vod/big.ts").accepted < 64 << 20


def test_cut_short(films: Playing, origin: OriginProcess, media: Media) -> None:
    """A film that breaks off on the way is not shown as whole: the viewer can tell that some is missing."""
    for knob in ("die_after", "reset_after"):
        # Where the rest cannot be asked for.
        origin.control("/vod/short/film.mp4", **{knob: 100_000}, noranges=1)
        before = films.outcomes()
        answer = films.raw_get(films.path_of(SHORT))
        head, _, body = answer.data.partition(b"\r\n\r\n")
        size = len(media.read("film.mp4"))
        assert f"content-length: {size}".encode() in head.lower()
        assert media.read("film.mp4").startswith(body)
        assert 0 < len(body) <= 100_000
        assert films.outcome_of(before) == "upstream_lost"


def test_gone_on_with(films: Playing, origin: OriginProcess, media: Media) -> None:
    """A film whose origin drops the connection is gone on with where it stopped, and is whole, byte for byte."""
    data, path = media.read("film.mp4"), films.path_of(SHORT)
    for knob in ("die_after", "reset_after"):
        for wanted, part in (
            ({}, data),
            ({"Range": "bytes=1000-"}, data[1000:]),
            ({"Range": "bytes=-500000"}, data[-500_000:]),
        ):
            origin.control("/vod/short/film.mp4", **{knob: 400_000})
            before = films.outcomes()
            assert films.get(path, wanted).body == part
            assert origin.counts("/vod/short/film.mp4").total > 2
            assert films.outcome_of(before) == "completed"


def test_nothing_in_it(films: Playing, origin: OriginProcess) -> None:
    """A film without a byte in it, a page in its place, or a file that is gone is an error, never an empty 200."""
    assert films.get(films.path_of("Empty file")).status == 502
    for what in ("empty", "html"):
        origin.control("/vod/short/film.mp4", as_=what)
        answer = films.get(films.path_of(SHORT))
        assert (answer.status, answer.headers["content-type"]) == (502, "text/plain; charset=utf-8")
        assert answer.body
    (films.folder / "gone.mp4").unlink(missing_ok=True)
    answer = films.get(films.path_of("Gone"))
    assert (answer.status, str(films.folder) in answer.text) == (502, False)


def test_names(films: Playing, origin: OriginProcess) -> None:
    """Films with odd signs in their names play."""
    for name in ("Odd name", "Escaped"):
        watch(films.url_of(name), 1).assert_plays()


def test_outcome(films: Playing, origin: OriginProcess) -> None:
    """A film that was sent whole is completed; one whose viewer left is not."""
    path = films.path_of("http ts")
    before = films.outcomes()
    films.get(path)
    assert films.outcome_of(before) == "completed"
    before = films.outcomes()
    films.open_stream(films.path_of("Big")).close()
    assert films.outcome_of(before) == "viewer_left"
