"""
Which providers are to be started, and with what settings: the command line selects, else the environment, else TOML.

A provider called NAME gets each of its fields from what follows ``KIND:`` on the command line, else from
``IPTVD_PROVIDER_NAME_FIELD``, else from the ``[[provider]]`` with that name, else from a foreign name for it, else
from its class. No value is repeated in an error: any of them may be a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, get_type_hints

import attrs
from attrs import frozen

from iptvd.discovery import Found
from iptvd.errors import ConfigError
from iptvd.interfaces import IProviderMaker
from iptvd.settings import PREFIX, ProviderSpec
from iptvd.values import HEADER_VALUE, SHARING, SOCKS5, YES_NO, Form, form_of, seconds, whole

#: How many providers there can be.
MOST = 200

_NAME = re.compile(r"[A-Za-z0-9_-]{1,32}")
_PREFIX = PREFIX + "PROVIDER_"

#: What every provider has besides its own settings.
COMMON: Mapping[str, Form[Any]] = {
    "refresh_interval": seconds(60),
    "user_agent": HEADER_VALUE,
    "enabled": YES_NO,
    "max_connections": whole(0, 100_000),
    "sharing": SHARING,
    "socks5": SOCKS5,
}


@frozen
class Value:
    """A value as it was found, and where: ``text`` when it is as an option or the environment has it."""

    value: object
    origin: str
    text: bool = False

    def read(self, form: Form[Any], what: str) -> Any:
        """The value in its form; a `ConfigError` names ``what``."""
        try:
            if self.text:
                return form.from_text(str(self.value))
            return form.from_toml(self.value)
        except ValueError:
            raise ConfigError(f"{what} ({self.origin}) must be {form.right}.") from None


@frozen
class Specs:
    """
    What came out.

    :ivar origins: by ``provider NAME`` and ``provider NAME.FIELD``.
    :ivar known: the environment names that have, or would have, an effect on a provider that is named somewhere.
    """

    specs: tuple[ProviderSpec, ...]
    origins: Mapping[str, str]
    known: frozenset[str]


@frozen
class _Asked:
    """A provider as it was asked for: ``at`` when by the name it has in the settings file or the environment."""

    kind: str
    name: str
    origin: str
    argument: str = ""
    at: bool = False
    listed: bool = False


def env_name(provider: str, field: str) -> str:
    """The environment name of a provider's field: ``IPTVD_PROVIDER_MY_TV_URL`` for ``my-tv`` and ``url``."""
    return f"{_PREFIX}{provider.replace('-', '_')}_{field}".upper()


def provider_fields(found: Found) -> frozenset[tuple[str, str]]:
    """Each kind with each field of its settings."""
    return frozenset((kind, name) for kind, maker in found.makers.items() for name in _fields(maker))


def read_providers(
    selected: Sequence[Value],
    tables: Value | None,
    environ: Mapping[str, str],
    foreign: Mapping[tuple[str, str], tuple[str, str]],
    found: Found,
    *,
    none_will_do: bool = False,
) -> Specs:
    """
    Work out the providers.

    :param selected: ``KIND``, ``KIND:ARGUMENT`` and ``KIND:@NAME``, from the command line or the environment; when
        there are none, all of ``tables`` are started.
    :param tables: the ``[[provider]]`` tables of the settings file.
    :param foreign: by kind and field: a name of the environment and the text that is the default.
    :param none_will_do: whether there need not be any.
    :raises ConfigError: for what cannot be started.
    """
    named = _tables(tables)
    asked = [*_selected(selected, set(named), found)] or [
        _Asked(str(table["kind"]), name, tables.origin, listed=True) for name, table in named.items() if tables
    ]
    if len(asked) > MOST:
        raise ConfigError(f"There are {len(asked)} providers: at most {MOST} are possible.")
    specs = []
    origins: dict[str, str] = {}
    known: set[str] = set()
    for one in asked:
        maker = _maker(one, found, named)
        values = _values(one, maker, named.get(one.name), tables, environ, foreign)
        specs.append(_spec(one, maker, values))
        origins[f"provider {one.name}"] = one.origin
        origins |= {f"provider {one.name}.{field}": value.origin for field, value in values.items()}
        known.update(env_name(one.name, field) for field in (*_fields(maker), *COMMON))
    for name in named.keys() - {one.name for one in asked}:
        # What belongs to a provider that is not started now has no effect, but is no mistake either.
        known.update(each for each in environ if each.startswith(env_name(name, "")))
    if not none_will_do and not any(spec.enabled for spec in specs):
        what = "Every provider is disabled" if specs else "There is no provider"
        raise ConfigError(
            f"{what}: add one with --provider {_example(found)}, with {PREFIX}PROVIDER, or as a [[provider]] of the "
            f"settings file; {_existing(found)}. With an api_token there need be none: the API can make channels."
        )
    return Specs(tuple(specs), origins, frozenset(known))


def _example(found: Found) -> str:
    return "demo" if "demo" in found.makers else next(iter(sorted(found.makers)), "KIND")


def _existing(found: Found) -> str:
    words = f"there are {', '.join(sorted(found.makers))}" if found.makers else "no provider plugin could be loaded"
    if found.failures:
        failures = ", ".join(f"{where} ({why})" for where, why in sorted(found.failures.items()))
        words += f"; not loaded: {failures}"
    return words


def _fields(maker: IProviderMaker) -> dict[str, attrs.Attribute[Any]]:
    """The fields of a kind's settings, by the name they are given with."""
    return {each.alias or each.name: each for each in attrs.fields(maker.settings) if each.init}


def _tables(tables: Value | None) -> dict[str, Mapping[str, object]]:
    """The ``[[provider]]`` tables, by the provider's name."""
    named: dict[str, Mapping[str, object]] = {}
    if tables is None:
        return named
    if not isinstance(tables.value, list) or not all(isinstance(each, Mapping) for each in tables.value):
        raise ConfigError(f"provider ({tables.origin}) must be tables, each written as [[provider]].")
    for number, table in enumerate(tables.value, 1):
        where = f"[[provider]] number {number} ({tables.origin})"
        kind, name = table.get("kind"), table.get("name", table.get("kind"))
        if not isinstance(kind, str) or not kind:
            raise ConfigError(f'{where} needs a kind, such as kind = "demo".')
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{where} needs a name of 1 to 32 letters, digits, underscores and hyphens.")
        # Two names that differ by less could not be told apart in the environment.
        if any(env_name(name, "") == env_name(other, "") for other in named):
            raise ConfigError(f'{where} has a name that is taken: give it one of its own, such as name = "{kind}-2".')
        named[name] = table
    return named


def _selected(selected: Sequence[Value], names: Iterable[str], found: Found) -> Iterable[_Asked]:
    parts = [(each, *str(each.value).partition(":")[::2]) for each in selected]
    taken = {env_name(argument[1:], "") for _, _, argument in parts if argument.startswith("@")}
    seen = set()
    for each, kind, argument in parts:
        if argument.startswith("@"):
            name = argument[1:]
            if not _NAME.fullmatch(name):
                raise ConfigError(f"The name after @ ({each.origin}) must be 1 to 32 letters, digits, - and _.")
            if env_name(name, "") in seen:
                raise ConfigError(f'The provider "{name}" ({each.origin}) is named twice.')
            seen.add(env_name(name, ""))
            yield _Asked(kind, name, each.origin, at=True)
            continue
        if kind not in found.makers and kind in names:
            raise ConfigError(
                f'"{kind}" ({each.origin}) is the name of a provider of the settings file: write KIND:@{kind}, '
                "with its kind."
            )
        name, number = kind, 1
        while env_name(name, "") in taken:
            number += 1
            name = f"{kind}-{number}"
        taken.add(env_name(name, ""))
        yield _Asked(kind, name, each.origin, argument)


def _maker(one: _Asked, found: Found, named: Mapping[str, Mapping[str, object]]) -> IProviderMaker:
    maker = found.makers.get(one.kind)
    if maker is None:
        close = get_close_matches(one.kind, found.makers, 1)
        hint = f"did you mean {close[0]}; " if close else ""
        # What follows the colon stays unsaid: it may hold a password.
        kind = one.kind if re.fullmatch(r"\w{1,40}", one.kind) else "?"
        raise ConfigError(f'There is no provider of kind "{kind}" ({one.origin}): {hint}{_existing(found)}.')
    table = named.get(one.name)
    if one.at and table is not None and table["kind"] != one.kind:
        raise ConfigError(
            f'The provider "{one.name}" ({one.origin}) is of kind {table["kind"]} in the settings file: '
            f"write {table['kind']}:@{one.name}."
        )
    return maker


def _values(
    one: _Asked,
    maker: IProviderMaker,
    table: Mapping[str, object] | None,
    tables: Value | None,
    environ: Mapping[str, str],
    foreign: Mapping[tuple[str, str], tuple[str, str]],
) -> dict[str, Value]:
    """What is set, by field, from all layers; a field that no layer sets is missing."""
    fields = (*_fields(maker), *COMMON)
    values: dict[str, Value] = {}
    for (kind, field), (name, text) in foreign.items():
        if kind == one.kind:
            values[field] = Value(text, f"environment {name}", True)
    if table is not None and tables is not None and table["kind"] == one.kind:
        for key, value in table.items():
            if key in fields:
                values[key] = Value(value, tables.origin)
            elif key not in ("kind", "name"):
                close = get_close_matches(key, fields, 1)
                hint = f"did you mean {close[0]}" if close else f"there are {', '.join(fields)}"
                raise ConfigError(f'The provider "{one.name}" ({tables.origin}) has no setting {key}: {hint}.')
    elif one.at and not any(environ.get(env_name(one.name, field)) for field in fields):
        raise ConfigError(
            f'There is no provider "{one.name}" ({one.origin}): write a [[provider]] with that name into the settings '
            f"file, or set {env_name(one.name, fields[0])} and the like."
        )
    if not one.listed:
        # To name it is to want it.
        values.pop("enabled", None)
    for field in fields:
        name = env_name(one.name, field)
        if environ.get(name):
            values[field] = Value(environ[name], f"environment {name}", True)
    for field, value in _from_argument(one, maker).items():
        values[field] = Value(value, one.origin, isinstance(value, str))
    return values


def _from_argument(one: _Asked, maker: IProviderMaker) -> Mapping[str, object]:
    if not one.argument:
        return {}
    try:
        values = dict(maker.settings_from_argument(one.argument))
    except ConfigError as error:
        raise ConfigError(f'The provider "{one.name}" ({one.origin}) cannot be set up so: {error}') from None
    except Exception as error:
        # A fault of the plugin; its text is not ours and may repeat the argument.
        raise ConfigError(
            f'The provider "{one.name}" ({one.origin}) cannot read what follows {one.kind}: '
            f"(its plugin raised {type(error).__name__})."
        ) from None
    return values


def _spec(one: _Asked, maker: IProviderMaker, values: Mapping[str, Value]) -> ProviderSpec:
    what = f'of the provider "{one.name}"'
    try:
        hints = get_type_hints(maker.settings)
    except Exception:
        # Types that exist for the type checker only: then the class itself judges what it is given.
        hints = {}
    own = {}
    for name, attribute in _fields(maker).items():
        if name in values:
            form = None if attribute.converter else form_of(hints.get(attribute.name))
            own[name] = values[name].read(form, f"{name} {what}") if form else values[name].value
    missing = [name for name, each in _fields(maker).items() if each.default is attrs.NOTHING and name not in own]
    if missing:
        raise ConfigError(f'The provider "{one.name}" ({one.origin}) needs {", ".join(missing)}.')
    try:
        settings = maker.settings(**own)
    except Exception as error:
        field = _culprit(maker, own)
        where = f"{field} {what} ({values[field].origin})" if field else f'The provider "{one.name}" ({one.origin})'
        raise ConfigError(f"{where} is not right: {_fault(error, maker, own)}.") from None
    common = {name: values[name].read(form, f"{name} {what}") for name, form in COMMON.items() if name in values}
    return ProviderSpec(one.kind, one.name, settings, **common)


def _culprit(maker: IProviderMaker, own: Mapping[str, object]) -> str:
    """The field that is refused whatever the others are; empty when it is how they go together."""
    needed = {name for name, each in _fields(maker).items() if each.default is attrs.NOTHING}
    for name in own:
        try:
            maker.settings(**{each: value for each, value in own.items() if each in needed or each == name})
        except Exception:
            return name
    return ""


def _fault(error: Exception, maker: IProviderMaker, own: Mapping[str, object]) -> str:
    """What a settings class says would be right, unless it repeats what may be a secret."""
    words = " ".join(str(error.args[0]).split()).rstrip(".") if isinstance(error, ValueError) and error.args else ""
    fields = _fields(maker)
    for name, value in own.items():
        for text in _texts(value):
            private = fields[name].metadata.get("secret") or any(mark in text for mark in "/:@?")
            if private and text and (text in words or repr(text)[1:-1] in words):
                words = ""
    return words or "see the settings of its kind"


def _texts(value: object) -> Iterator[str]:
    """Every text within a value."""
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)
    else:
        yield str(value)
