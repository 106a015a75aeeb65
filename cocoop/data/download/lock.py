"""Lets only one process at a time download a dataset, even if several users share the data root."""

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.errors import CannotWrite, UserError


@contextmanager
def locked(spec: DatasetSpec, data_root: Path) -> Iterator[None]:
    """Holds the dataset's lock in the data root; other processes wait and then find the dataset complete.

    An OSError inside the block becomes a `CannotWrite` that names the dataset and the file.
    """
    path = data_root / f".{spec.folder.replace('/', '-')}.lock"
    with ExitStack() as held:
        try:
            data_root.mkdir(parents=True, exist_ok=True)
            _acquire(path, spec, held)
        except OSError as error:
            raise UserError(f"{data_root}: cannot be written ({error.strerror}); use another data_root.") from error
        try:
            yield
        except CannotWrite as error:
            raise CannotWrite(f"dataset {spec.name!r}: {error}") from error
        except OSError as error:
            told = io.cannot_write(Path(error.filename or data_root), error)
            raise CannotWrite(f"dataset {spec.name!r}: {told}") from error


def _acquire(path: Path, spec: DatasetSpec, held: ExitStack) -> None:
    waiting = f"dataset {spec.name!r}: waiting for another process that downloads it ({path})"
    lock = FileLock(path, mode=0o666)
    try:
        try:
            held.enter_context(lock.acquire(timeout=0))
        except Timeout:
            _say(waiting)
            held.enter_context(lock.acquire())
    except PermissionError:
        if not path.is_file():
            raise
        _flock(path, waiting, held)


def _flock(path: Path, waiting: str, held: ExitStack) -> None:
    """The same lock on another user's file, which filelock rejects: flock only needs read permission."""
    import fcntl  # does not exist on Windows, where filelock never rejects

    handle = os.open(path, os.O_RDONLY)
    held.callback(os.close, handle)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        _say(waiting)
        fcntl.flock(handle, fcntl.LOCK_EX)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
