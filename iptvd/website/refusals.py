"""
How it is seen that a site does not want us: by its status, by a challenge, by asking for a key.

Each is the state ``blocked``: told to the operator, tried again seldom, and never worked around.
"""

from __future__ import annotations

import re

from iptvd.errors import ProviderError
from iptvd.model import Fetched, ProviderState

_REFUSING = (401, 403, 451)
# A status by which a server says that it is in trouble or busy, not that we are wrong.
_BUSY = (408, 429)

_CHALLENGE = re.compile(
    rb"just a moment\.\.\.|attention required!|checking (?:if the site connection is secure|your browser)"
    rb"|/cdn-cgi/challenge-platform/|__cf_chl_|challenge-form|(?:g-re|h-?)captcha|cf-turnstile|ddos-guard"
    rb"|verify (?:that )?you are (?:a )?human",
    re.IGNORECASE,
)
_WANTS_KEY = re.compile(
    rb'"(?:error|message|detail)"\s*:\s*"[^"]{0,200}(?:api.?key|access.?key|token|unauthori[sz]ed|forbidden)',
    re.IGNORECASE,
)
#: Bytes of a page in which a challenge would show itself.
_HEAD = 64 * 1024


def blocked(who: str, how: str) -> ProviderError:
    """The error for it."""
    return ProviderError(ProviderState.BLOCKED, f"{who} {how} and is left alone: look at it in a browser")


def check_status(fetched: Fetched, who: str) -> None:
    """
    Raise for what is no answer.

    :param who: such as ``the site``.
    :raises ProviderError: ``BLOCKED``, ``UNREACHABLE``, or ``NOT_UNDERSTOOD`` for what is not there.
    """
    status = fetched.status
    if "challenge" in fetched.headers.get("cf-mitigated", ""):
        raise blocked(who, f"wants a challenge solved (status {status})")
    if status in _REFUSING:
        raise blocked(who, f"refuses with status {status}")
    if status != 200 and _CHALLENGE.search(fetched.body[:_HEAD]):
        raise blocked(who, f"wants a challenge solved (status {status})")
    if status >= 500 or status in _BUSY:
        raise ProviderError(ProviderState.UNREACHABLE, f"{who} fails with status {status}: try again later")
    if status != 200:
        raise ProviderError(ProviderState.NOT_UNDERSTOOD, f"{who} answers with status {status}")


def check_page(fetched: Fetched, who: str) -> None:
    """
    Raise for a page of which nothing was understood, if it says that we are not wanted.

    :raises ProviderError: ``BLOCKED``.
    """
    head = fetched.body[:_HEAD]
    if _CHALLENGE.search(head):
        raise blocked(who, f"wants a challenge solved (status {fetched.status})")
    if head.lstrip()[:1] == b"{" and _WANTS_KEY.search(head):
        raise blocked(who, f"wants a key (status {fetched.status})")
