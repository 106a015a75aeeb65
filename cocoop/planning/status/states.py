"""The state of every job, from its outputs, its log and Snakemake's marks of incomplete outputs."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cocoop.planning.job import Job
from cocoop.planning.status import head, interrupted
from cocoop.planning.status.logs import NOTHING, Ending, ending

KILLED = "no error in its log: it was killed, ran out of time or memory, or its files were deleted"


class State(Enum):
    """done: all outputs exist; queued: submitted, but has not written to its log; left: not started, interrupted or undone."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class Seen:
    """A job and its state according to the files.

    Attributes:
        seconds: duration of a job that is done; None if it was not measured.
        end: end of the log of a running or failed job.
        written: time when this log was last written (seconds since 1970).
    """

    job: Job
    state: State
    seconds: float | None = None
    end: Ending = NOTHING
    written: float = 0.0

    @property
    def reason(self) -> str:
        """The reason why a job failed."""
        return self.end.error or KILLED


def look(jobs: Sequence[Job], folder: Path) -> list[Seen]:
    """The state of each job in a working folder."""
    active = head.locked(folder)
    marks = _marks(folder / ".snakemake" / "incomplete")
    seen = [_look(job, folder, marks, active) for job in jobs]
    if not interrupted.by_user(folder):
        return seen
    cancelled = [one.state is State.FAILED and one.reason == KILLED for one in seen]
    return [Seen(one.job, State.LEFT) if with_it else one for one, with_it in zip(seen, cancelled, strict=True)]


def _look(job: Job, folder: Path, marks: dict[str, float], active: bool) -> Seen:
    log = folder / job.log
    marked = [marks[output] for output in job.outputs.values() if output in marks]
    times = [_time(folder / output) for output in job.outputs.values()]
    # The marks of a group remain until its last job has ended; outputs newer than their marks are done.
    if marked and not (active and min(times) >= max(marked)):
        if not active:
            return Seen(job, State.LEFT)
        written = _time(log)
        if written < max(marked):
            return Seen(job, State.QUEUED)
        return Seen(job, State.RUNNING, end=ending(log), written=written)
    if all(times):
        return Seen(job, State.DONE, _seconds(folder, job))
    # If a group fails before a job starts, Snakemake leaves an empty log for it; the inputs of such a job are missing.
    if not log.exists() or not all((folder / path).exists() for path in job.files):
        return Seen(job, State.LEFT)
    return Seen(job, State.FAILED, end=ending(log), written=_time(log))


def _marks(folder: Path) -> dict[str, float]:
    """Incomplete outputs with the time when their jobs started. The file names of Snakemake's marks are base64 of the paths."""
    started = {}
    for path in folder.rglob("*"):
        parts = [part.removeprefix("@") for part in path.relative_to(folder).parts]
        try:
            output = base64.urlsafe_b64decode("".join(parts)).decode()
            started[output] = path.stat().st_mtime
        except (ValueError, OSError):  # a part of a long name, or a mark that was just deleted
            continue
    return started


def _time(path: Path) -> float:
    """When a file was last written; 0 if it does not exist."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _seconds(folder: Path, job: Job) -> float | None:
    """Duration of a job. Its usage is of the last attempt; cost.json also includes earlier ones (of a continued training)."""
    if job.usage is None:
        return None
    found = [_number(folder / job.usage, "s")]
    found += [_number(folder / output, "seconds") for output in job.outputs.values() if output.endswith("/cost.json")]
    return max((seconds for seconds in found if seconds is not None), default=None)


def _number(path: Path, key: str) -> float | None:
    """A number in a JSON file, None if there is none."""
    try:
        return float(json.loads(path.read_text(encoding="utf-8"))[key])
    except (OSError, ValueError, KeyError, TypeError):
        return None
