"""A backbone's files on this machine, by content: another checkpoint under the same name is another backbone."""

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from cocoop import io, kept, places

READ_EACH_TIME = 64 * 2**20  # bytes, read in a tenth of a second


def local_files(backbone: Mapping[str, Any]) -> tuple[str, ...]:
    """Its open_clip config and its checkpoint, unless they are open_clip's own."""
    named = (backbone["model"], backbone.get("pretrained"))
    return tuple(str(path) for name in named if name and (path := places.found(name)))


def digest(backbone: Mapping[str, Any]) -> str | None:
    """Short digest of the content of these files; None without any."""
    found = [_content(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in local_files(backbone)]
    return io.identity(found) if found else None


@cache
def _content(path: str, size: int, changed: int) -> str:
    """sha256 of a file's bytes.

    Snakemake asks at every start and in every cluster job, so its folder, where there is one, keeps that of a large file by the
    file's path, size and time of change.
    """
    if size <= READ_EACH_TIME:
        return io.sha256_file(path)
    key = io.sha256_text(io.canonical_json([os.path.abspath(path), size, changed]))
    return kept.digest("checkpoints", key, lambda: io.sha256_file(path))
