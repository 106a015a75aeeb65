"""A backbone's files on this machine, by content: another checkpoint under the same name is another backbone."""

import hashlib
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from cocoop import io, places

READ_WHOLE = 64 * 2**20  # bytes
SAMPLES, SAMPLE_BYTES = 256, 65536


def local_files(backbone: Mapping[str, Any]) -> tuple[str, ...]:
    """Its open_clip config and its checkpoint, unless they are open_clip's own."""
    named = (backbone["model"], backbone.get("pretrained"))
    return tuple(str(path) for name in named if name and (path := places.found(name)))


def digest(backbone: Mapping[str, Any]) -> str | None:
    """Short digest of the content of these files; None without any."""
    found = [_content(path, os.stat(path).st_size, os.stat(path).st_mtime_ns) for path in local_files(backbone)]
    return io.identity(found) if found else None


@cache
def _content(path: str, size: int, _: int) -> str:
    """Of a large file its size and samples from all parts, as Snakemake asks at every start and in every cluster job."""
    if size <= READ_WHOLE:
        return io.sha256_file(path)
    found = hashlib.sha256(str(size).encode())
    with Path(path).open("rb") as file:
        for number in range(SAMPLES):
            file.seek((size - SAMPLE_BYTES) * number // (SAMPLES - 1))
            found.update(file.read(SAMPLE_BYTES))
    return found.hexdigest()
