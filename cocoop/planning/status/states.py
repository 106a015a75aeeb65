"""The state of every job, from outputs, logs and the marks Snakemake leaves while a job is on its way."""

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
    """done: all outputs are there; queued: submitted, its log is not touched yet; left: not tried, interrupted, or undone."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class Seen:
    """A job as the files show it.

    seconds: of a done job, where something measured it; end: of the log of a running or failed job; written: when that log
    was last written to (seconds since 1970).
    """

    job: Job
    state: State
    seconds: float | None = None
    end: Ending = NOTHING
    written: float = 0.0

    @property
    def reason(self) -> str:
        """Why a failed job failed."""
        return self.end.error or KILLED


def look(jobs: Sequence[Job], folder: Path) -> list[Seen]:
    """The state of each job of a working folder."""
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
    made = [_time(folder / output) for output in job.outputs.values()]
    # A group's marks stay until its last job has ended; what was written after its mark is done.
    if marked and not (active and min(made) >= max(marked)):
        if not active:
            return Seen(job, State.LEFT)
        written = _time(log)
        if written < max(marked):
            return Seen(job, State.QUEUED)
        return Seen(job, State.RUNNING, end=ending(log), written=written)
    if all(made):
        return Seen(job, State.DONE, _seconds(folder, job))
    # Snakemake leaves an empty log where a group failed before a job's turn; such a job still lacks its input.
    if not log.exists() or not all((folder / path).exists() for path in job.files):
        return Seen(job, State.LEFT)
    return Seen(job, State.FAILED, end=ending(log), written=_time(log))


def _marks(folder: Path) -> dict[str, float]:
    """Outputs that Snakemake has begun and not ended, with the time it began; the marks' file names are base64 of the paths."""
    found = {}
    for path in folder.rglob("*"):
        parts = [part.removeprefix("@") for part in path.relative_to(folder).parts]
        try:
            output = base64.urlsafe_b64decode("".join(parts)).decode()
            found[output] = path.stat().st_mtime
        except (ValueError, OSError):  # a part of a long name, or a mark that was just taken away
            continue
    return found


def _time(path: Path) -> float:
    """When a file was last written; 0 if it is not there."""
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _seconds(folder: Path, job: Job) -> float | None:
    """What a job took: Snakemake measures the last attempt, cost.json has those before it too (of a continued training)."""
    if job.benchmark is None:
        return None
    found = [_number(folder / job.benchmark, "s")]
    found += [_number(folder / output, "seconds") for output in job.outputs.values() if output.endswith("/cost.json")]
    return max((seconds for seconds in found if seconds is not None), default=None)


def _number(path: Path, key: str) -> float | None:
    """A key of the last object in a file, which is one JSON object or one on each line."""
    try:
        text = path.read_text(encoding="utf-8")
        content = text if path.suffix == ".json" else text.splitlines()[-1]
        return float(json.loads(content)[key])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None
