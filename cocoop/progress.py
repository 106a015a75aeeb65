"""Progress of long loops: a bar with rate and remaining time on a terminal, an occasional line in a log file."""

import sys
from collections.abc import Iterable, Iterator, Sized
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
LOG_INTERVAL_SECONDS = 10.0


def bar(total: int | None, description: str, unit: str, initial: int = 0, **options: Any) -> tqdm:
    """A tqdm bar on stderr; call `update(n)` and `close()`, or use it in a `with` block.

    If stderr is not a terminal, it writes a new line every ten seconds instead of redrawing the same one.
    """
    on_terminal = sys.stderr.isatty()
    interval = 0.1 if on_terminal else LOG_INTERVAL_SECONDS
    return tqdm(
        total=total,
        desc=description,
        unit=unit,
        initial=initial,
        mininterval=interval,
        maxinterval=interval,
        dynamic_ncols=on_terminal,
        ascii=not on_terminal,
        file=sys.stderr if on_terminal else _Lines(),
        **options,
    )


def track(items: Iterable[Item], description: str, unit: str, total: int | None = None) -> Iterator[Item]:
    """Yields the items and shows a progress bar."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with bar(total, description, unit) as progress:
        for item in items:
            yield item
            progress.update()


class _Lines:
    """Replaces tqdm's carriage returns by line feeds to keep log files readable."""

    def write(self, text: str) -> int:
        text = text.strip("\r\n ")
        if text:
            print(text, file=sys.stderr, flush=True)
        return len(text)

    def flush(self) -> None:
        sys.stderr.flush()
