"""A large guide in XMLTV and the M3U list of its channels, made of words that a search finds often or seldom."""

from __future__ import annotations

import time
from pathlib import Path
from random import Random

HOUR = 3600
_SYLLABLES = ("ka", "lo", "mi", "ren", "tas", "vel", "or", "du", "pe", "shi", "gan", "ber", "nu", "zal", "qui", "fro")
#: What many titles begin with, as many as there would be in a guide.
_COMMON = ("News", "Live", "The", "Café", "Sport", "Weather", "Show", "World")


def _word(random: Random) -> str:
    return "".join(random.choice(_SYLLABLES) for _ in range(random.randint(2, 4)))


def vocabulary(seed: int = 1) -> list[str]:
    """The words of titles."""
    random = Random(seed)
    return sorted({_word(random).capitalize() for _ in range(6000)})


def write_guide(path: Path, channels: int, programmes: int, size: int) -> int:
    """
    Write a guide, channel after channel, its programmes of an hour each beginning four hours ago.

    :param programmes: of each channel.
    :param size: bytes of all of it, about.
    :return: how many there are.
    """
    random = Random(2)
    words = vocabulary()
    begin = int(time.time()) // HOUR * HOUR - 4 * HOUR
    times = [time.strftime("%Y%m%d%H%M%S +0000", time.gmtime(begin + hour * HOUR)) for hour in range(programmes + 1)]
    texts = [" ".join(random.choice(words) for _ in range(8)) + "." for _ in range(500)]
    # What an element takes without its description, about.
    each = max(0, size // (channels * programmes) - 153)
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE tv SYSTEM "xmltv.dtd">\n<tv>\n')
        for channel in range(channels):
            name = f"<display-name>{name_of(channel, words)}</display-name>"
            file.write(f'<channel id="c{channel}.test">{name}</channel>\n')
        for channel in range(channels):
            lines = []
            for hour in range(programmes):
                common = f"{random.choice(_COMMON)} " if random.random() < 0.2 else ""
                title = f"{common}{random.choice(words)} {random.choice(words)}"
                desc = (random.choice(texts) * 20)[:each]
                lines.append(
                    f'<programme start="{times[hour]}" stop="{times[hour + 1]}" channel="c{channel}.test">'
                    f"<title>{title}</title><desc>{desc}</desc></programme>\n"
                )
            file.write("".join(lines))
        file.write("</tv>\n")
    return channels * programmes


def write_list(path: Path, channels: int) -> None:
    """Write the list of these channels."""
    words = vocabulary()
    with path.open("w", encoding="utf-8") as file:
        file.write("#EXTM3U\n")
        for channel in range(channels):
            group = f"Group {channel % 40}"
            name = name_of(channel, words)
            file.write(f'#EXTINF:-1 tvg-id="c{channel}.test" group-title="{group}",{name}\n')
            file.write(f"http://127.0.0.1:9/{channel}.ts\n")


def name_of(channel: int, words: list[str]) -> str:
    """What a channel is called."""
    return f"{words[channel % len(words)]} TV {channel // len(words) or ''}".strip()
