"""A provider plugin for tests of the settings, with a field of every sort, and what finds it without looking."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, Literal

from attrs import Attribute, field, frozen
from zope.interface import implementer

from iptvd.discovery import Found
from iptvd.errors import ConfigError
from iptvd.interfaces import IProvider, IProviderMaker, ProviderContext


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def _upper(text: str) -> str:
    return text.upper()


@frozen
class PanelSettings:
    """The settings of the provider ``panel``."""

    url: str = field(default="", repr=False)
    password: str = field(default="", repr=False, metadata={"help": "The password.", "secret": True})
    depth: int = field(default=3)
    ratio: float = 1.0
    strict: bool = True
    form: Literal["ts", "hls"] = "ts"
    colour: Colour = Colour.RED
    tags: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(factory=dict, metadata={"secret": True})
    folder: Path | None = None
    upper: str = field(default="", converter=_upper)

    @url.validator
    def _web(self, _attribute: Attribute[str], value: str) -> None:
        if value and not value.startswith("http"):
            raise ValueError(f"give an http URL, not {value}")

    @depth.validator
    def _positive(self, _attribute: Attribute[int], value: int) -> None:
        if value < 0:
            raise ValueError("a number of 0 or more")

    def __attrs_post_init__(self) -> None:
        if self.password and not self.url:
            raise ValueError("a password needs a url")
        if self.tags and self.depth > 50:
            raise ValueError("tags are for less depth")
        if "canary" in self.headers.values():
            raise ValueError(f"no header is {self.headers}")


@frozen
class NeedySettings:
    """Settings without a default, which the contract does not foresee."""

    must: str


@implementer(IProviderMaker)
@frozen
class Maker:
    kind: str = "panel"
    summary: str = "A panel."
    settings: type[Any] = PanelSettings

    def settings_from_argument(self, argument: str) -> Mapping[str, object]:
        if argument == "bad":
            raise ConfigError("The address is no address.")
        if argument == "bug":
            raise KeyError("canary")
        return {"url": argument} if argument else {}

    def make(self, settings: object, context: ProviderContext) -> IProvider:
        raise NotImplementedError


def finder(*makers: Maker, failures: Mapping[str, str] | None = None) -> Callable[[Sequence[Path]], Found]:
    """Finds these plugins (``panel`` and ``demo`` without any), whatever the folders are."""
    found = makers or (Maker(), Maker("demo", "A test card."))
    return lambda _folders: Found({maker.kind: maker for maker in found}, failures or {})
