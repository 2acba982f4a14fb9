"""Finds the ffmpeg to use: the operator's, the machine's, or the one that a Python package has brought."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path

from iptvd.errors import ConfigError


def find(configured: str) -> str:
    """
    The path of an ffmpeg, or empty when there is none.

    :param configured: the operator's choice, by path or by name, or empty.
    :raises ConfigError: when that cannot be run.
    """
    if configured:
        chosen = shutil.which(configured)
        if chosen is None:
            raise ConfigError(
                f"ffmpeg: {configured} is not a program that can be run; leave it empty to have one found"
            )
        return str(Path(chosen).absolute())
    return shutil.which("ffmpeg") or _packaged()


def _packaged() -> str:
    """
    The ffmpeg of imageio-ffmpeg, or the one that its own variable ``IMAGEIO_FFMPEG_EXE`` names.

    The package is not asked but looked into: asked, it would start each candidate to try it, and old releases would
    download one.
    """
    if chosen := shutil.which(os.environ.get("IMAGEIO_FFMPEG_EXE", "")):
        return chosen
    spec = find_spec("imageio_ffmpeg")
    for folder in (spec and spec.submodule_search_locations) or ():
        for path in sorted(Path(folder, "binaries").glob("ffmpeg-*")):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return ""
