"""
The reference of all settings, as Markdown: ``python -m iptvd.reference > docs/settings.md``.

A test holds the file to what this writes.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import attrs

from iptvd.aliases import ALIASES
from iptvd.discovery import discover
from iptvd.interfaces import IProviderMaker
from iptvd.plain_settings import SETTINGS, Setting, shown
from iptvd.reminding import SOON
from iptvd.settings import DEFAULT_FILE, PREFIX
from iptvd.webhook_settings import MOST_RETRIES
from iptvd.webhooks import PAUSES, QUEUE

_TOP = f"""# Settings

This page is written by `python -m iptvd.reference`; change `iptvd/settings.py` or the providers instead.

A setting is given on the command line, in the environment, or in a TOML file: `--config FILE`, else `$IPTVD_CONFIG`,
else `{DEFAULT_FILE}` if it exists. The command line wins over the environment, the environment over
the file, the file over the default. In the environment a list is separated by spaces, and a name that is set to
nothing is not set.

`twistd -n iptvd --check-config` prints every setting in force with where it comes from, passwords masked.
On SIGHUP the settings are read again; a mistake in them changes nothing.

A mistyped name in the file is an error, a mistyped `{PREFIX}` name in the environment is told at the start.
"""

_PROVIDERS = f"""## Providers

`--provider KIND`, `--provider KIND:ARGUMENT` and `--provider KIND:@NAME` can be given more than once.
`{PREFIX}PROVIDER` takes the same, separated by spaces, where the command line has none.
Without either, every `[[provider]]` of the settings file is started. There must be one,
unless there is an `api_token`.

A provider is called like its kind, the second of a kind `KIND-2`, and so on; `KIND:@NAME` gives it another name.
What it is called decides where the rest of its settings come from:

1. what follows `KIND:` on the command line,
2. the environment: `{PREFIX}PROVIDER_NAME_FIELD`, with `-` in the name written as `_`
   (`{PREFIX}PROVIDER_HOME_PASSWORD` for the provider `home`),
3. the `[[provider]]` of the settings file with that name.

A `[[provider]]` has, besides the settings of its kind:

| key | meaning | default |
|---|---|---|
| `kind` | What kind of provider it is: the name of its plugin. | |
| `name` | What it is called: 1 to 32 letters, digits, `-` and `_`; unique. | the kind |
| `enabled` | Whether it is started. Naming it on the command line starts it anyway. | true |
| `refresh_interval` | How often its channels are fetched again, in seconds. | as all have |
| `user_agent` | The User-Agent its origins are asked with. | as all have |
| `max_connections` | How many connections it allows at once; 0 for no limit. | as it says itself |
| `sharing` | `auto`, `shared` or `isolated`: see the setting of that name. | as all have |
| `socks5` | The SOCKS5 proxy it is reached through, or `none`: see the setting of that name. | as all have |

Plugins of your own are files in the folders of `provider_dirs`; `iptvd.discovery` says what is looked for.
"""

_RULES = """## Rules

Each `[[rule]]` of the settings file looks for a pattern in every entry of the lineup, in the order of the file; a rule
sees what those before it have written.

| key | meaning |
|---|---|
| `match` | The pattern: a Python regular expression, found anywhere in the field; `(?i)` at its start ignores case. |
| `field` | Where it is looked for: `name` (if not set), `group`, `tvg_id` or `key`, the provider's own id. |
| `provider` | Only entries of the provider with this name. |
| `kind` | Only `live`, `vod` or `radio`. |
| `hide` | If true, the entry is left out. |
| `keep` | If true, all others are left out: an entry that keep rules look at stays if one of them matches. |
| `name`, `group`, `tvg_id`, `logo` | What the whole field becomes; `\\1`, `\\g<word>` are groups of the pattern. |
| `number` | The channel number it gets. |
| `sharing` | `auto`, `shared` or `isolated` for a live channel: see the setting of that name. |
| `guide` | The id of its channel in the guide, where it is not found by itself or not rightly; `-` for none. |
| `guide_shift` | Minutes that the channel is later than the guide says; may be negative. |
"""

_WEBHOOKS = f"""## Webhooks

Each `[[webhook]]` of the settings file is told what happens, by POST requests. Others can be added by way of the API
while the daemon runs: see [channels-api.md](channels-api.md).

| key | meaning | default |
|---|---|---|
| `name` | What logs and metrics call it: 1 to 32 letters, digits, `-` and `_`; unique. | `webhook-` and its place |
| `url` | Where the requests go: http or https. It may hold user and password. | |
| `events` | What it is told of: a list of the names below. | all of them |
| `secret` | What the requests are signed with. | none: not signed |
| `timeout` | How long it has to answer: a time from 1 to 60 seconds. | `10` |
| `nearby` | Whether it may be on this machine or at a link-local address. | `false` |
| `retries` | How often the same is sent again when it is not taken: up to {MOST_RETRIES} times. | `{len(PAUSES)}` |

The body is JSON, the same as in `/api/live`: `event_id` (a number as text, higher with each event), `event_type`,
`stream_id` (as `/streams` and `/clients` have it, or empty), `timestamp` (ISO 8601, UTC) and `data`. The headers
`X-Iptvd-Event` and `X-Iptvd-Delivery` repeat type and id. With a secret there is `X-Iptvd-Signature`: `sha256=` and
the HMAC with SHA-256 of the body, in hexadecimal.

Any answer but one with a 2xx status is a failure, after which the same is sent again, `retries` times at most, with
growing pauses. Each webhook has a queue of its own, of {QUEUE} events: what does not fit pushes out what has
waited longest. `/metrics` counts what was delivered, what failed and what was dropped
(`iptvd_webhook_events_total`).

| event | when |
|---|---|
| `stream_started` | A channel that nobody had is watched: the first byte was sent. |
| `stream_stopped` | The last of its viewers is gone. |
| `stream_failed` | It could not be had, or no longer: the last session ended for that reason. |
| `client_connected`, `client_disconnected` | A session began; it ended, with its outcome and what it got. |
| `failover_triggered` | Another source of a channel has taken over. |
| `channel_status` | A channel can no longer be had, or can again. |
| `provider_state` | A provider's state is another one. |
| `slots` | Other numbers of connections to a provider are in use; told once a second at most. |
| `live_event_soon`, `live_event_started` | What a provider announced begins in {SOON / 60:g} minutes; it begins. |
"""

_ALIASES = f"""## Names of other proxies

These are understood in the environment, so that the `.env` file of another proxy can stay as it is.
Names that begin with `{PREFIX}` win over them.

| name | here it |
|---|---|
"""


def _row(setting: Setting) -> str:
    option = f"<br>`{setting.option}`" if setting.option else ""
    meaning = f"{setting.help} Must be {setting.form.right}."
    return f"| `{setting.name}` | `{setting.env}`{option} | {meaning} | {setting.default_text} |\n"


def _kind(maker: IProviderMaker) -> str:
    """What a provider of one kind has besides; a kind without settings of its own has no table."""
    defaults = maker.settings()
    rows = []
    for each in attrs.fields(maker.settings):
        default = shown(getattr(defaults, each.name))
        rows.append(f"| `{each.name}` | {each.metadata['help']} | {f'`{default}`' if default else 'none'} |\n")
    table = "\n| key | meaning | default |\n|---|---|---|\n" + "".join(rows) if rows else ""
    return f"### {maker.kind}\n\n{maker.summary[:1].upper()}{maker.summary[1:].rstrip('.')}.\n{table}"


def reference() -> str:
    """The whole page."""
    return "\n".join(_parts())


def _parts() -> Iterator[str]:
    yield _TOP
    head = "| setting | environment, option | meaning | default |\n|---|---|---|---|\n"
    yield "## All of them\n\n" + head + "".join(map(_row, SETTINGS))
    yield _PROVIDERS
    yield from (_kind(maker) for _, maker in sorted(discover().makers.items()))
    yield _RULES
    yield _WEBHOOKS
    yield _ALIASES + "".join(f"| `{alias.name}` | {alias.says} |\n" for alias in ALIASES)


if __name__ == "__main__":
    sys.stdout.write(reference())
