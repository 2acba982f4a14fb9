"""The audit log: one line for each call that manages and is to change something, with no secret in it and no URL."""

from __future__ import annotations

from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Request

from iptvd.access import Who
from iptvd.log import Log

_SAFE = (b"GET", b"HEAD", b"OPTIONS")

_audit = Log(namespace="iptvd.audit")


def audit(request: Request, template: str) -> None:
    """
    Log what a call has changed, or has not been let change, once it is answered.

    :param template: the path with a ``{name}`` for each part that is not the same for all: never the path itself.
    """
    method = request.method.decode("latin-1")

    def answered(left: object) -> None:
        who: Who = request.who  # type: ignore[attr-defined]
        _audit.info(
            "{method} {path} by {by} from {address}: {status}{left}",
            method=method,
            path=template,
            by=_by(who),
            address=who.caller.address or "nowhere",
            status=request.code,
            left=", nobody waited for the answer" if left is not None else "",
        )

    request.notifyFinish().addBoth(answered)


def audit_operation(request: Request, resource: IResource) -> None:
    """Have it logged when an operation that changes something is managing."""
    operation: Any = getattr(resource, "operation", None)
    if operation is not None and operation.manages and request.method not in _SAFE:
        audit(request, operation.path)


def _by(who: Who) -> str:
    if not who.manager:
        return "somebody who may not manage"
    return "somebody without a token" if who.ambient else "the API token"
