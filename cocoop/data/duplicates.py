"""Images with the same content."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from cocoop import io, progress

QUICK = 2000  # files that are compared before anyone looks for a progress bar


def same_content(folder: Path, paths: Sequence[str]) -> list[list[str]]:
    """Groups of two or more files with the same bytes; paths relative to the folder. Files that are not there are left out."""
    by_size = defaultdict(list)
    for path in paths:
        if os.path.isfile(folder / path):
            by_size[os.stat(folder / path).st_size].append(path)
    candidates = [path for group in by_size.values() if len(group) > 1 for path in group]
    by_hash = defaultdict(list)
    for path in progress.track(candidates, "comparing images", "image") if len(candidates) > QUICK else candidates:
        by_hash[io.sha256_file(folder / path)].append(path)
    return [group for group in by_hash.values() if len(group) > 1]
