"""Putting the settings together: option over environment over TOML over default, each with where it came from."""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from iptvd.aliases import Foreign, read_aliases
from iptvd.discovery import Found, discover, refusal
from iptvd.errors import ConfigError
from iptvd.plain_settings import SETTINGS, Setting
from iptvd.provider_specs import Value, provider_fields, read_providers
from iptvd.rules import Rule, read_rules
from iptvd.settings import DEFAULT_FILE, PREFIX, Config, Loaded, default_state_dir
from iptvd.webhook_settings import Webhook, read_webhooks

#: Bytes of a settings file.
LARGEST_FILE = 4 * 1024 * 1024

_BY_NAME = {setting.name: setting for setting in SETTINGS}
_TABLES = ("provider", "rule", "webhook")
_ENV = {setting.env for setting in SETTINGS} | {PREFIX + "CONFIG", PREFIX + "PROVIDER"}
# What iptvctl goes by.
_OTHERS = frozenset((PREFIX + "URL",))


def load(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    *,
    default_file: Path = DEFAULT_FILE,
    find: Callable[[Sequence[Path]], Found] = discover,
) -> Loaded:
    """
    Read all settings; can be called again to read them anew.

    :param options: what the command line gives, by field of `Config`: a text, or a sequence of texts for ``listen``;
        and ``config`` (the settings file) and ``provider`` (a sequence of texts).
    :param environ: the environment; a name that is set to nothing is not set.
    :param default_file: the settings file that is read if it exists and no other is named.
    :raises ConfigError: with one sentence, for the first thing that is wrong.
    """
    table, file = _settings_file(options, environ, default_file)
    layers = _Layers(options, environ, table, f"file {file}")
    state_dir, _ = layers.value(_BY_NAME["state_dir"])
    folders, origin = layers.value(_BY_NAME["provider_dirs"])
    for folder in folders:
        fault = refusal(folder, state_dir)
        if fault:
            raise ConfigError(f"The folder {folder} of provider_dirs ({origin}) {fault}.")
    found = find(folders)
    layers.foreign = read_aliases(environ, provider_fields(found))

    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for setting in SETTINGS:
        values[setting.name], origins[setting.name] = layers.value(setting)
    rules: tuple[Rule, ...] = ()
    if "rule" in table:
        origins["rules"] = layers.file
        rules = read_rules(table["rule"], layers.file)
    webhooks: tuple[Webhook, ...] = ()
    if "webhook" in table:
        origins["webhooks"] = layers.file
        webhooks = read_webhooks(table["webhook"], layers.file)
    tables = Value(table["provider"], layers.file) if "provider" in table else None
    # Who manages can make channels by the API.
    managed = bool(values["api_token"])
    selected, foreign = _selected(options, environ), layers.foreign.providers
    providers = read_providers(selected, tables, environ, foreign, found, none_will_do=managed)
    config = Config(**values, rules=rules, webhooks=webhooks, providers=providers.specs)
    notices = (
        *layers.foreign.notices,
        *_unknown(environ, providers.known),
        *_without_effect(config, origins),
        *(f"The provider plugin {where} was not loaded: {why}." for where, why in sorted(found.failures.items())),
    )
    return Loaded(config, origins | dict(providers.origins), notices, found)


class _Layers:
    """Where a plain setting is looked for."""

    def __init__(
        self, options: Mapping[str, object], environ: Mapping[str, str], table: Mapping[str, object], file: str
    ) -> None:
        self._options = options
        self._environ = environ
        self._table = table
        self.file = file
        self.foreign = Foreign({}, {}, ())

    def value(self, setting: Setting) -> tuple[Any, str]:
        """The value in force, and where it comes from."""
        found = self._find(setting)
        if found is not None:
            return found.read(setting.form, setting.name), found.origin
        if setting.name == "state_dir":
            return default_state_dir(self._environ)
        return setting.default, "default"

    def _find(self, setting: Setting) -> Value | None:
        given = self._options.get(setting.name)
        if setting.option and given not in (None, (), []):
            return Value(given, f"option {setting.option}", isinstance(given, str))
        if self._environ.get(setting.env):
            return Value(self._environ[setting.env], f"environment {setting.env}", True)
        if setting.name in self.foreign.settings:
            name, text = self.foreign.settings[setting.name]
            return Value(text, f"environment {name}", True)
        if setting.name in self._table:
            return Value(self._table[setting.name], self.file)
        return None


def _settings_file(
    options: Mapping[str, object], environ: Mapping[str, str], default_file: Path
) -> tuple[Mapping[str, object], Path]:
    """The tables of the settings file, checked for names that mean nothing; and which file it is."""
    named = options.get("config")
    if named is not None:
        file, origin = Path(str(named)), "option --config"
    elif environ.get(PREFIX + "CONFIG"):
        file, origin = Path(environ[PREFIX + "CONFIG"]), f"environment {PREFIX}CONFIG"
    else:
        file, origin = default_file, "default"
    table = _read_toml(file.absolute(), origin)
    names = [*_BY_NAME, *_TABLES]
    for key in table:
        if key not in names:
            close = get_close_matches(key, names, 1)
            hint = f"did you mean {close[0]}" if close else "docs/settings.md lists what there is"
            raise ConfigError(f"The file {file} has the unknown setting {key}: {hint}.")
    return table, file.absolute()


def _read_toml(file: Path, origin: str) -> Mapping[str, object]:
    what = f"The settings file {file} ({origin})"
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise ConfigError(f"{what} is not a file.")
        with file.open("rb") as opened:
            content = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        if origin == "default" and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}
        raise ConfigError(f"{what} cannot be read: {error.strerror}.") from None
    except ValueError:
        raise ConfigError(f"The settings file ({origin}) has a name that no file can have.") from None
    if len(content) > LARGEST_FILE:
        raise ConfigError(f"{what} is larger than {LARGEST_FILE // 1024 // 1024} MiB.")
    try:
        return tomllib.loads(content.decode())
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{what} is not UTF-8 (at line {line}).") from None
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise ConfigError(f"{what} is not TOML: {why}.") from None


def _selected(options: Mapping[str, object], environ: Mapping[str, str]) -> list[Value]:
    """The providers that the command line, else the environment, names."""
    given = options.get("provider")
    if isinstance(given, list | tuple) and given:
        return [Value(each, "option --provider", True) for each in given]
    name = PREFIX + "PROVIDER"
    return [Value(each, f"environment {name}", True) for each in environ.get(name, "").split()]


def _unknown(environ: Mapping[str, str], known: frozenset[str]) -> list[str]:
    """A notice for each name that looks like ours and is not."""
    notices = []
    for name in sorted(environ):
        if name.startswith(PREFIX) and environ[name] and name not in _ENV | _OTHERS | known:
            close = get_close_matches(name, [*_ENV, *known], 1)
            hint = f": did you mean {close[0]}" if close else ""
            notices.append(f"The environment variable {name} is no setting and has no effect{hint}.")
    return notices


def _without_effect(config: Config, origins: Mapping[str, str]) -> list[str]:
    """A notice for each setting that another one leaves without effect."""
    notices = []
    if config.listen:
        for name in ("port", "host"):
            if origins[name] != "default":
                notices.append(f"{name} ({origins[name]}) has no effect: listen ({origins['listen']}) says it all.")
    names = {provider.name for provider in config.providers}
    for number, rule in enumerate(config.rules, 1):
        if rule.provider and rule.provider not in names:
            notices.append(f"Rule {number} has no effect: no provider is named {rule.provider}.")
    return notices
