"""What the API takes as addresses of streams, and as request headers that they are asked for with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from iptvd.errors import ProtocolError
from iptvd.nearby import names_private
from iptvd.protocols.m3u import allowed_header
from iptvd.protocols.urls import split_url
from iptvd.stream_records import recognised
from iptvd.web.operations import invalid


def check_url(name: str, url: str, allows_private: bool) -> None:
    """
    Take only what can be a stream's URL.

    :param name: of the field that it is the value of.
    :param allows_private: see ``allow_private_upstreams`` in `iptvd.settings.Config`. What a name leads to, and a
        redirect, is seen when it is connected to.
    :raises Refusal: with what would be right; the URL is not in it.
    """
    try:
        host = split_url(recognised(url).url).host
    except ProtocolError as error:
        raise invalid(name, error.sentence) from None
    if not allows_private and names_private(host):
        raise invalid(name, "it leads into this network, which allow_private_upstreams = false forbids")


def check_urls(name: str, urls: Iterable[str], allows_private: bool) -> None:
    """The same of each of a list."""
    for place, url in enumerate(urls):
        check_url(f"{name}[{place}]", url, allows_private)


def check_headers(name: str, headers: Mapping[str, str]) -> None:
    """
    Take only headers that can be sent.

    :raises Refusal: that names the one that cannot; its value is not in it.
    """
    for header, value in headers.items():
        if not allowed_header(header, value):
            raise invalid(f"{name}.{header[:64]}", "a header of this name or value cannot be sent")
