"""What was measured, as tables; RESULTS.md, in which a row that is measured again takes its old place."""

from __future__ import annotations

import os
import platform
import re
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from attrs import define, field

from bench.rows import NAMES


@define
class Line:
    """
    One contender's measurements, one for each round.

    :ivar beside: what else is worth telling of it.
    """

    name: str
    samples: list[float] = field(factory=list)
    beside: str = ""

    @property
    def median(self) -> float:
        """In the middle."""
        return statistics.median(self.samples) if self.samples else float("nan")


@define
class Table:
    """
    One thing measured.

    :ivar unit: of the samples.
    :ivar goals: how each goal was met, in a sentence each.
    """

    title: str
    unit: str
    lines: list[Line] = field(factory=list)
    goals: list[str] = field(factory=list)
    notes: list[str] = field(factory=list)

    def line(self, name: str, beside: str = "") -> Line:
        """A line by its name, made when it is not there."""
        found = next((line for line in self.lines if line.name == name), None)
        if found is None:
            found = Line(name)
            self.lines.append(found)
        found.beside = beside or found.beside
        return found

    def add(self, name: str, value: float) -> None:
        """One more sample."""
        self.line(name).samples.append(value)

    def against(self, one: str, other: str, most: float) -> None:
        """Say whether one costs at most so many times the other, where both were measured."""
        lines = {line.name: line for line in self.lines}
        if one in lines and other in lines and lines[one].samples and lines[other].samples:
            ratio = lines[one].median / lines[other].median
            self.goals.append(f"{one} / {other}: **{ratio:.2f}**, target ≤ {most:g}: {_verdict(ratio, most)}")

    def at_most(self, name: str, most: float) -> None:
        """Say whether a median is at most so much."""
        value = self.line(name).median
        self.goals.append(f"{name}: **{number(value)} {self.unit}**, target ≤ {most:g}: {_verdict(value, most)}")

    def markdown(self) -> str:
        """The table."""
        rows = [f"**{self.title}**", "", f"| | median, {self.unit} | spread | |", "|---|---|---|---|"]
        for line in self.lines:
            if line.samples:
                spread = f"{number(min(line.samples))} to {number(max(line.samples))}, {len(line.samples)} x"
                rows.append(f"| {line.name} | {number(line.median)} | {spread} | {line.beside} |")
        rows.append("")
        rows += [f"- {text}" for text in (*self.goals, *self.notes)]
        return "\n".join(rows) + "\n"


def number(value: float) -> str:
    """Three digits of it."""
    if value != value or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.3f}"


def _verdict(value: float, most: float) -> str:
    if value <= most:
        return "met"
    return f"**missed by {100 * (value / most - 1):.0f} %**" if most else "**missed**"


def share(values: Sequence[float], part: float) -> float:
    """The value that ``part`` (0 to 1) of them do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else float("nan")


def machine() -> str:
    """What it runs on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model[1] if model else platform.machine()
    return f"{os.cpu_count()} x {name}, {memory:.0f} GiB, Linux {platform.release()}"


class Results:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        text = path.read_text() if path.exists() else ""
        parts = re.split(r"(?m)^## (\w+)[^\n]*\n", text)
        self._sections = {
            name: f"## {heading}"
            for name, heading in zip(parts[1::2], re.findall(r"(?ms)^## (\w.*?)(?=^## |\Z)", text), strict=True)
        }

    def put(self, name: str, title: str, tables: Iterable[Table], loads: tuple[float, float], seconds: float) -> None:
        """Put a row in its place."""
        when = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
        told = f"{when}, in {seconds:.0f} s; load average before {loads[0]:.2f}, after {loads[1]:.2f}."
        body = "\n".join(table.markdown() for table in tables)
        self._sections[name] = f"## {name}: {title}\n\n{told}\n\n{body}\n"

    def write(self, versions: Iterable[str], user: str) -> None:
        """Write what there is, in the order of the rows."""
        head = [
            "# Measured",
            "",
            "Written by `make bench`; README.md says what each row is. Everything over loopback, contenders in turn",
            "within each round; proxies' CPU only. The load average contains the bench's own origin and viewers, and",
            "whatever else the machine did: compare the contenders of one table with each other, not tables.",
            "",
            f"- machine: {machine()}",
            *(f"- {version}" for version in versions),
            f"- the proxies run as {user}",
            "",
            "",
        ]
        sections = [self._sections[name].rstrip() + "\n\n" for name in NAMES if name in self._sections]
        self._path.write_text("\n".join(head) + "".join(sections).rstrip() + "\n")
