"""``/api/users``: who may watch, for a panel to push to."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import msgspec
from attrs import evolve
from msgspec import UNSET, Meta, Struct, UnsetType
from twisted.internet.defer import DeferredLock

from iptvd.accounts import Accounts, User, new_token
from iptvd.delivery.hub import Hub
from iptvd.passwords import LONGEST, Passwords
from iptvd.public import moment
from iptvd.web.bodies import check_extra
from iptvd.web.operations import Call, Operation, invalid
from iptvd.web.request import Refusal

if TYPE_CHECKING:
    from iptvd.web.tree import Parts

T = TypeVar("T")

#: Users there can be.
MOST = 10_000
_EPOCH = datetime.fromtimestamp(0, UTC)
# The end of a year that every calendar has.
_LAST = datetime(9000, 12, 31, tzinfo=UTC).timestamp()

Name = Annotated[
    str,
    Meta(
        # Python's $ is also before a line's end.
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}(?!\n)$",
        description="Up to 64 letters, digits, and . _ @ - after the first of them.",
        examples=["anna"],
    ),
]
Token = Annotated[
    str,
    Meta(
        pattern=r"^([A-Za-z0-9_-]{8,128})?(?!\n)$",
        description="8 to 128 letters, digits, - and _. It shows who asks: in URLs, and as the Xtream password. Where "
        "it is empty or left out, one is made.",
    ),
]
Password = Annotated[
    str,
    Meta(max_length=LONGEST, description="For the pages; empty for none. It is never given back."),
]
Moment = Annotated[datetime, Meta(extra_json_schema={"format": "date-time"}, examples=["2030-12-31T23:59:59Z"])]
Expiry = Annotated[Moment | None, Meta(description="When nothing is to be had any more; null for never.")]
Groups = Annotated[
    list[Annotated[str, Meta(max_length=200)]],
    Meta(max_length=1000, description="Channel groups that may be seen; empty for all."),
]
Most = Annotated[int, Meta(ge=0, le=10_000, description="Streams at once, 0 for no limit.")]
Email = Annotated[str, Meta(max_length=320)]
Notes = Annotated[str, Meta(max_length=10_000)]


class UserChange(Struct, kw_only=True):
    """What is to be different; what is left out stays as it is. Other fields are kept and given back."""

    token: Token | UnsetType | None = UNSET
    password: Password | UnsetType | None = UNSET
    email: Email | UnsetType | None = UNSET
    expires_at: Expiry | UnsetType = UNSET
    max_connections: Most | UnsetType | None = UNSET
    is_active: bool | UnsetType = UNSET
    groups: Groups | UnsetType | None = UNSET
    notes: Notes | UnsetType | None = UNSET


class NewUser(UserChange, kw_only=True):
    """Somebody who may watch. Other fields are kept and given back."""

    username: Name


class UserTold(Struct, kw_only=True):
    """Somebody who may watch, with the fields that a panel keeps there."""

    username: str
    token: str
    email: str
    expires_at: Moment | None
    max_connections: int
    is_active: bool
    groups: list[str]
    notes: str
    has_password: Annotated[bool, Meta(description="Whether the pages can be logged in to.")]
    created_at: Moment | None
    active_connections: Annotated[int, Meta(description="Streams that are watched now.")]


class UsersTold(Struct):
    """All of them."""

    users: list[UserTold]
    total: int


_TOLD = frozenset(each.encode_name for each in msgspec.structs.fields(UserTold))


def users_operations(parts: Parts) -> list[Operation]:
    """What can be done with users."""
    admission = parts.admission
    users = UsersApi(
        admission.accounts, parts.faces.hub, parts.passwords, lambda: admission.access.api_token, parts.wall
    )
    one = "/api/users/{name}"
    return [
        Operation("GET", "/api/users", "All users", users.all, UsersTold),
        Operation("POST", "/api/users", "Have a user", users.add, UserTold, NewUser, status=201, errors=(409,)),
        Operation("GET", one, "A user", users.get, UserTold),
        Operation("PUT", one, "Change a user", users.change, UserTold, UserChange, errors=(409,)),
        Operation("DELETE", one, "Forget a user; what they watch ends", users.remove, None),
    ]


class UsersApi:
    """
    What the operations do.

    :param api_token: of who manages, which is no user's; empty for none.
    :param wall: seconds since the epoch.
    """

    def __init__(
        self,
        accounts: Accounts,
        hub: Hub,
        passwords: Passwords,
        api_token: Callable[[], str],
        wall: Callable[[], float],
    ) -> None:
        self._accounts = accounts
        self._hub = hub
        self._passwords = passwords
        self._api_token = api_token
        self._wall = wall
        # Between looking whether a name or token is free and taking it nobody else may.
        self._changing = DeferredLock()

    async def all(self, call: Call) -> Mapping[str, object]:
        """All users, in the order in which they came."""
        self._readable()
        users = list(self._accounts.users.values())
        told: Iterator[object] = map(self._facts, users)
        return {"users": told, "total": len(users)}

    async def get(self, call: Call) -> Mapping[str, object]:
        """One user."""
        return self._facts(self._known(call))

    async def add(self, call: Call) -> Mapping[str, object]:
        """A user that there was not."""
        self._readable()
        user = User(call.body.username, "", created=self._wall())
        return self._facts(await self._exclusively(self._add, user, call))

    async def change(self, call: Call) -> Mapping[str, object]:
        """Some of a user changed."""
        return self._facts(await self._exclusively(self._change, call))

    async def remove(self, call: Call) -> None:
        """A user gone."""
        await self._exclusively(self._remove, call)

    async def _exclusively(self, work: Callable[..., Awaitable[T]], *values: object) -> T:
        async with self._changing:
            return await work(*values)

    async def _add(self, user: User, call: Call) -> User:
        if user.name in self._accounts.users:
            raise Refusal(409, f"There is a user {user.name} already: change it with PUT.")
        if len(self._accounts.users) >= MOST:
            raise Refusal(409, f"There are {MOST} users already.")
        return await self._keep(user, call)

    async def _change(self, call: Call) -> User:
        user = self._known(call)
        if call.extra.get("username", user.name) != user.name:
            raise invalid("username", "a user is not renamed: make another one")
        return await self._keep(user, call)

    async def _remove(self, call: Call) -> None:
        await self._accounts.remove(self._known(call).name)

    async def _keep(self, user: User, call: Call) -> User:
        changed = _changed(user, call)
        if not changed.token:
            changed = evolve(changed, token=new_token())
        other = self._accounts.of_token(changed.token)
        if changed.token == self._api_token() or (other is not None and other.name != user.name):
            raise Refusal(409, "This token is somebody else's.")
        password = call.body.password
        if isinstance(password, str):
            changed = evolve(changed, password=await self._passwords.hash(password) if password else "")
        await self._accounts.put(changed)
        return changed

    def _readable(self) -> None:
        if self._accounts.unreadable:
            raise Refusal(503, f"It is not known who there is: {self._accounts.unreadable}.", (("Retry-After", "60"),))

    def _known(self, call: Call) -> User:
        self._readable()
        user = self._accounts.users.get(call.path["name"])
        if user is None:
            raise Refusal(404, "There is no such user; /api/users has those there are.")
        return user

    def _facts(self, user: User) -> dict[str, object]:
        return {
            **user.extra,
            "username": user.name,
            "token": user.token,
            "email": user.email,
            "expires_at": moment(user.expires),
            "max_connections": user.max_connections,
            "is_active": user.active,
            "groups": list(user.groups),
            "notes": user.notes,
            "has_password": bool(user.password),
            "created_at": moment(user.created),
            "active_connections": len(self._hub.of_user(user.name)),
        }


def _changed(user: User, call: Call) -> User:
    """A user with what a body says, but for the password."""
    body: UserChange = call.body
    extra = {**user.extra, **{name: value for name, value in call.extra.items() if name not in _TOLD}}
    check_extra(extra)
    changed: dict[str, Any] = {"extra": extra}
    if body.token:
        changed["token"] = body.token
    if body.expires_at is not UNSET:
        changed["expires"] = _seconds(body.expires_at)
    if body.is_active is not UNSET:
        changed["active"] = body.is_active
    for name, value, nothing in (
        ("email", body.email, ""),
        ("max_connections", body.max_connections, 0),
        ("notes", body.notes, ""),
    ):
        if value is not UNSET:
            changed[name] = nothing if value is None else value
    if body.groups is not UNSET:
        changed["groups"] = tuple(body.groups or ())
    return evolve(user, **changed)


def _seconds(when: datetime | UnsetType | None) -> float | None:
    if not isinstance(when, datetime):
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return min(max((aware - _EPOCH).total_seconds(), 0.0), _LAST)
