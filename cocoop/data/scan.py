"""Opening every image of a dataset once, to find the ones that no decoder reads whole."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cocoop import progress
from cocoop.data.images import open_rgb
from cocoop.errors import UserError

THREADS = min(8, os.cpu_count() or 1)


def unreadable(folder: Path, paths: Sequence[str]) -> dict[str, str]:
    """For each path (relative to the folder) that cannot be decoded, why; in the order given."""

    def reason(path: str) -> str | None:
        try:
            open_rgb(folder / path)
        except UserError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(THREADS) as pool:
        reasons = progress.track(pool.map(reason, paths, chunksize=1), "reading images", "image", total=len(paths))
        return {path: why for path, why in zip(paths, reasons, strict=True) if why}
