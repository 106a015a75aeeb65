"""Remembers that Ctrl-C was pressed: a library may report its exception as another, such as a damaged file."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered() -> Iterator[list[int]]:
    """A list that gets the number of each SIGINT, which still raises KeyboardInterrupt. Other handlers stay as they are."""
    arrived: list[int] = []

    def remember(number: int, frame: FrameType | None) -> None:
        arrived.append(number)
        signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()  # the only thread that may set handlers
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield arrived
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield arrived
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
