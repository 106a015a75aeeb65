"""Digests that take long to compute, kept in Snakemake's folder."""

import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from cocoop import io
from cocoop.errors import UserError

SNAKEMAKE = Path(".snakemake")


def digest(kind: str, key: str, compute: Callable[[], str]) -> str:
    """The sha256 that `compute` gives, or that was kept under this key; nothing is kept where there is no `.snakemake`.

    kind: the folder inside `.snakemake`; key: a digest of everything that the result depends on.
    """
    kept = SNAKEMAKE / kind / key
    with suppress(OSError, UnicodeError):
        if re.fullmatch("[0-9a-f]{64}", found := kept.read_text()):
            return found
    found = compute()
    if SNAKEMAKE.is_dir():
        with suppress(OSError, UserError):  # a full or read-only disk
            io.write_text(kept, found)
    return found
