"""Stages in processes of their own, forked from a server that has everything imported, so that they can be killed often."""

import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["tests.faults.preload"])
PATIENCE_SECONDS = 1800  # a machine may be busy with other things


@dataclass(frozen=True)
class Ended:
    """How a stage ended: its exit code (negative for a signal), what it said, how long it took."""

    code: int
    text: str
    seconds: float


class Stage:
    """One running stage; `quick` makes checkpoints and parts so frequent that a kill falls between two of them.

    user: the number of another user who runs it, which root may ask for; folder: where it runs.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log: Path,
        quick: bool = True,
        environment: dict | None = None,
        user: int | None = None,
        folder: Path | None = None,
    ) -> None:
        log.write_text("")  # it may be killed before it says anything
        self.log, self.start = log, time.monotonic()
        line = [*map(str, arguments)]
        self.process = CONTEXT.Process(target=_stage, args=(line, str(log), quick, environment or {}, user, folder))
        self.process.start()

    def wait(self) -> Ended:
        self.process.join(PATIENCE_SECONDS)
        assert self.process.exitcode is not None, f"still running after {PATIENCE_SECONDS} s: {self.log.read_text()}"
        return Ended(self.process.exitcode, self.log.read_text(), time.monotonic() - self.start)

    def kill_after(self, seconds: float) -> Ended:
        """kill -9 after some seconds, unless it has ended by then."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
        return self.wait()


def run(arguments: Sequence[str], log: Path, **options) -> Ended:
    return Stage(arguments, log, **options).wait()


def _stage(
    arguments: list[str], log: str, quick: bool, environment: dict, user: int | None, folder: Path | None
) -> None:
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
        os.umask(0o022)
    os.environ.update(environment)
    if folder is not None:
        os.chdir(folder)
    from cocoop.data.download import transfer
    from cocoop.images import extraction, features, views
    from cocoop.training import checkpoint

    if quick:
        transfer.CHUNK = 4096
        extraction.PART_ROWS = 4
        features.extract_test.__defaults__ = (4, 0)  # batch_size, workers
        views.extract.__defaults__ = (4, 0, "train")
        checkpoint.SECONDS_BETWEEN = 0.0
    from cocoop.cli import main

    code = main(arguments)
    sys.stdout.flush()
    os._exit(code)  # without multiprocessing's own clean-up, which is not the stage's and does not expect Ctrl-C
