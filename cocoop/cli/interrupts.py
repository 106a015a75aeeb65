"""Ctrl-C stays Ctrl-C: a library may report its exception as another, such as a damaged file."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def remembered() -> Iterator[None]:
    """Raises KeyboardInterrupt in place of an error that follows a SIGINT. Where SIGINT has another handler, nothing changes."""
    arrived = False

    def remember(number: int, frame: FrameType | None) -> None:
        nonlocal arrived
        arrived = True
        signal.default_int_handler(number, frame)

    in_main = threading.current_thread() is threading.main_thread()  # the only thread that may set handlers
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, remember)
    try:
        yield
    except BrokenPipeError:  # a reader that has gone
        raise
    except Exception as error:
        if arrived:
            raise KeyboardInterrupt from error
        raise
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
