"""The pages of a website with channels: its lists in every shape, and the pages that its players lie in."""

from __future__ import annotations

import html
import json
from base64 import b64encode
from collections.abc import Iterable, Sequence

from tests.simulators.website_stations import Station

CHALLENGE = """<!DOCTYPE html>
<html lang="en-US"><head><title>Just a moment...</title><meta name="robots" content="noindex,nofollow">
<meta http-equiv="refresh" content="390"></head><body><div class="main-wrapper"><h1>Checking your browser</h1>
<noscript>Enable JavaScript and cookies to continue</noscript>
<form id="challenge-form" action="/?__chl_f_tk=abc" method="POST"><input type="hidden" name="md" value="x"></form>
<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script></div></body></html>
"""


def _written(text: str) -> str:
    """Text as it stands in the site's markup."""
    return html.escape(text).replace("é", "&eacute;")


def _page(title: str, body: str) -> str:
    menu = '<nav><a href="/">Home</a> <a href="/24-7-channels.php">24/7 Channels</a> <a href="#">Top</a></nav>'
    head = f'<!DOCTYPE html>\n<html><head><meta charset="utf-8"><title>{title}</title></head>\n'
    return f"{head}<body>{menu}\n{body}\n<footer>No links here</footer></body></html>\n"


# The lists


def list_grid(stations: Iterable[Station]) -> str:
    """Shape L1."""
    rows = (
        f'<div class="grid-item"><a href="/stream/stream-{each.number}.php" target="_blank" rel="noopener">'
        f"<span><strong>{_written(each.written)}</strong></span></a></div>"
        for each in stations
    )
    return _page("24/7 Channels", '<div class="grid-container">' + "\n".join(rows) + "</div>")


def list_cards(stations: Iterable[Station]) -> str:
    """Shape L2."""
    rows = (
        f'<a href="/watch.php?id={each.number}" class="card" data-title="{_written(each.written.lower())}">'
        f'\n  <div class="card__title">{_written(each.written)}</div></a>'
        for each in stations
    )
    return _page("24/7 Channels", '<div class="grid">' + "\n".join(rows) + "</div>")


def list_json(stations: Iterable[Station]) -> str:
    """Shape L3, in which there are items that are no objects, and entities all the same."""
    rows: list[object] = [{"channel_id": s.number, "channel_name": _written(s.written)} for s in stations]
    return json.dumps([*rows, None, "Demo", {"channel_name": "Demo Lost"}])


def list_feeds(stations: Iterable[Station]) -> str:
    """Shape L4, in which an id comes under several titles and a title on several ids."""
    feeds = (Station("80", "PPV 1"), Station("80", "PPV Fight Night"), Station("81", "PPV Main"))
    rows = (
        f'<a href="/watch.php?id={each.number}" title="{_written(each.written)}">Watch</a>'
        for each in (*stations, *feeds, Station("82", "PPV Main"))
    )
    return '<section class="feeds">' + "\n".join(rows) + "</section>"


def list_redesigned(stations: Iterable[Station]) -> str:
    """A shape that nobody has seen before."""
    rows = (f'<li data-c="{each.number}" onclick="go(this)">{_written(each.written)}</li>' for each in stations)
    return _page("Channels", '<ul id="app">' + "\n".join(rows) + "</ul>")


def home(parts: Iterable[str]) -> str:
    """The home page."""
    return _page("Home", "\n".join(parts))


# The players


def stream_page(name: str, ads: str, players: Sequence[str]) -> str:
    """A channel's page: frames with advertisements, and one for each player, its attributes in another order each."""
    forms = (
        '<iframe id="thatframe" allowfullscreen scrolling="no" src="{}" width="100%" height="100%"></iframe>',
        "<iframe src='{}' allow='encrypted-media' frameborder=0 allowfullscreen=yes ></iframe>",
        '<IFRAME\n  width="100%" height="100%"\n  SRC="{}"></IFRAME>',
    )
    frames = [forms[place % len(forms)].format(html.escape(url)) for place, url in enumerate(players)]
    first = f'<iframe width="300" height="250" src="{ads}/banner.html"></iframe>'
    last = f'<iframe src="{ads}/popunder.html" style="display:none" width="1" height="1"></iframe>'
    return _page(_written(name), "\n".join([first, *frames, last]))


def lookup_page(key: str, cdn: str) -> str:
    """Player P1."""
    return f"""<!DOCTYPE html><html><body><div id="player"></div><script>
  var channelKey="{key}";
  fetch('/server_lookup.php?channel_id=' + encodeURIComponent(channelKey)).then(r => r.json()).then(data => {{
    const sk = data.server_key;
    const url = sk === "top1/cdn" ? "{cdn}/top1/cdn/" + channelKey + "/mono.m3u8"
      : "{cdn}/" + sk + "/" + channelKey + "/mono.m3u8";
    play(url);
  }});
</script></body></html>
"""


def signed_page(key: str) -> str:
    """A player that has itself let in with a signature before it looks its server up."""
    return f"""<!DOCTYPE html><html><body><script>
  var channelKey="{key}"; var authTs="1790000000"; var authRnd="a1b2c3"; var authSig="0f1e2d3c4b5a";
  fetch('/auth.php?channel_id=' + channelKey + '&ts=' + authTs + '&rnd=' + authRnd
    + '&sig=' + encodeURIComponent(authSig)).then(() => fetch('/server_lookup.php?channel_id=' + channelKey));
</script></body></html>
"""


def frame_page(inner: str) -> str:
    """A page that is there for the frame in it, with markup in a script that is no frame."""
    decoy = "document.write('<iframe src=\"' + url + '\" width=\"1\"></iframe>');"
    return f'<html><body><script>var url = "";\n{decoy}</script>\n<iframe src="{inner}"></iframe></body></html>\n'


def decoded_page(playlist: str, ads: str) -> str:
    """Player P2: the address of the playlist among others that are none."""
    texts = (f"{ads}/banner.js", "not an address", "javascript:alert('mono.m3u8')")
    decoys = [b64encode(text.encode()).decode() for text in texts]
    source = b64encode(playlist.encode()).decode()
    return f"""<!DOCTYPE html><html><body><div id="player"></div><script>
  var a = atob("{decoys[0]}"), b = window.atob('{decoys[1]}'), c = atob('%%%'), d = atob("{decoys[2]}");
  new Player({{ parentId: "#player", source: window.atob('{source}'), autoPlay: true, mute: atob(a) }});
</script></body></html>
"""
