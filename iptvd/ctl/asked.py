"""What every command is told beside its own arguments, and how it answers: for people, or as JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, update_wrapper
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

import click

from iptvd.ctl.api import Api
from iptvd.ctl.exits import Ended, Exit
from iptvd.ctl.place import find
from iptvd.ctl.texts import of, plain
from iptvd.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

P = ParamSpec("P")
T = TypeVar("T")

#: Columns where the output is no terminal: as many as it takes, so that nothing is cut off there.
_UNBOUNDED = 4000


class Asked:
    """
    One run.

    :ivar json: whether the answer is for programs.
    """

    def __init__(self) -> None:
        self.url = ""
        self.token = ""
        self.config = ""
        self.json = False
        self.timeout = 30.0
        self.insecure = False

    @cached_property
    def api(self) -> Api:
        """
        The daemon's.

        :raises Ended: when what was said of it makes no sense.
        """
        try:
            place = find(self.url, self.token, self.config, os.environ)
        except ConfigError as error:
            raise Ended(Exit.USAGE, error.sentence) from None
        return Api(place, self.timeout, not self.insecure)

    @cached_property
    def console(self) -> Console:
        """Where the answer goes."""
        # Not before it is needed: to load all of it takes as long as everything else.
        from rich.console import Console

        terminal = sys.stdout.isatty()
        width = None if terminal or os.environ.get("COLUMNS") else _UNBOUNDED
        return Console(file=sys.stdout, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)

    def tell(self, facts: object, people: Callable[[], None]) -> None:
        """
        Answer.

        :param facts: what the daemon said, for programs.
        :param people: says it to people.
        """
        if self.json:
            self.write_json(facts)
        else:
            people()

    def write_json(self, facts: object, indent: int | None = 2) -> None:
        """Write JSON; all but ASCII is escaped in it, so that no terminal takes it for a command."""
        click.echo(json.dumps(facts, indent=indent))

    def line(self, *parts: object) -> None:
        """Write a line."""
        click.echo(" ".join(map(plain, parts)))

    def tell_each(self, told: Sequence[Any], otherwise: str) -> None:
        """
        Answer what was done to several things: the message of each.

        :param otherwise: where there is no message.
        """

        def people() -> None:
            for each in told:
                self.line(of(each, "message") or otherwise)

        self.tell(told[0] if len(told) == 1 else list(told), people)

    def show(self, *things: RenderableType) -> None:
        """Write something of rich's."""
        for thing in things:
            self.console.print(thing)

    def table(
        self,
        rows: Iterable[Sequence[object]],
        *columns: str,
        nothing: str,
        right: Iterable[str] = (),
        keep: Iterable[str] = (),
    ) -> None:
        """
        Write a table.

        :param nothing: what is written in the place of an empty one.
        :param right: see `iptvd.ctl.tables.table`, as for ``keep``.
        """
        from iptvd.ctl.tables import table

        made = table(rows, *columns, right=right, keep=keep)
        if made.row_count:
            self.show(made)
        else:
            self.line(nothing)

    def facts(self, pairs: Iterable[tuple[str, object]]) -> None:
        """Write what is known of one thing, a line for each name; what is empty is left out."""
        told = [(name, text) for name, value in pairs if (text := plain(value))]
        width = max((len(name) for name, _ in told), default=0)
        for name, text in told:
            click.echo(f"{name:<{width}}  {text}")


def _keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
    """Keep what was said before or after a command's name; what was said last counts."""
    asked = context.ensure_object(Asked)
    if value is not None and value is not False and parameter.name is not None:
        setattr(asked, parameter.name, value)


def _option(*names: str, help: str, **more: Any) -> Callable[[T], T]:
    return click.option(*names, help=help, expose_value=False, callback=_keep, **more)  # type: ignore[return-value]


def with_options(command: T) -> T:
    """The options that every command has."""
    for add in reversed(
        (
            _option("--json", is_flag=True, help="Answer with JSON, for programs."),
            _option("--url", metavar="URL", help="Where the daemon is, if not where its settings say."),
            _option("--token", metavar="TOKEN", help="What to manage with; better kept in IPTVD_API_TOKEN."),
            _option("--config", metavar="FILE", help="The daemon's settings file, if it is another one."),
            _option(
                "--timeout",
                type=click.FloatRange(0.1, 3600),
                metavar="SECONDS",
                help="How long an answer may take; 30.",
            ),
            _option("--insecure", is_flag=True, help="Take any certificate."),
        )
    ):
        command = add(command)
    return command


def asking(call: Callable[Concatenate[Asked, P], None]) -> Callable[P, None]:
    """Give a command what it was asked."""

    def called(*arguments: P.args, **named: P.kwargs) -> None:
        call(click.get_current_context().ensure_object(Asked), *arguments, **named)

    return with_options(update_wrapper(called, call))
