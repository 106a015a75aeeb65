"""The state of every job, from outputs, logs and the marks Snakemake leaves while a job is on its way."""

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from cocoop.config.jobs import Job
from cocoop.monitor import interrupted

ERROR_BYTES = 65536
KILLED = "no error in its log: it was killed, ran out of time or memory, was undone with its group, or its files were deleted"


class State(Enum):
    """done: all outputs are there; queued: submitted, its log is not touched yet; left: not tried, or interrupted."""

    DONE = "done"
    RUNNING = "running"
    QUEUED = "queued"
    FAILED = "failed"
    LEFT = "left"


@dataclass(frozen=True)
class Seen:
    """A job as the files show it. seconds: of the last attempt, where Snakemake measured it; reason: why it failed."""

    job: Job
    state: State
    seconds: float | None = None
    reason: str = ""


def look(jobs: Sequence[Job], folder: Path) -> list[Seen]:
    """The state of each job of a working folder."""
    active = any((folder / ".snakemake" / "locks").glob("*.lock"))
    marks = _marks(folder / ".snakemake" / "incomplete")
    seen = [_look(job, folder, marks, active) for job in jobs]
    if not interrupted.by_user(folder):
        return seen
    cancelled = [one.state is State.FAILED and one.reason == KILLED for one in seen]
    return [Seen(one.job, State.LEFT) if with_it else one for one, with_it in zip(seen, cancelled, strict=True)]


def _look(job: Job, folder: Path, marks: dict[str, float], active: bool) -> Seen:
    log = folder / job.log
    marked = [marks[output] for output in job.outputs if output in marks]
    if marked:
        if not active:
            return Seen(job, State.LEFT)
        started = log.exists() and log.stat().st_mtime >= max(marked)
        return Seen(job, State.RUNNING if started else State.QUEUED)
    if all((folder / output).exists() for output in job.outputs):
        return Seen(job, State.DONE, _seconds(folder, job))
    # Snakemake leaves an empty log where a group failed before a job's turn; such a job still lacks its input.
    tried = log.exists() and all((folder / path).exists() for path in job.inputs)
    return Seen(job, State.FAILED, reason=failure(log)) if tried else Seen(job, State.LEFT)


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


def _seconds(folder: Path, job: Job) -> float | None:
    if job.benchmark is None:
        return None
    try:
        return float(json.loads((folder / job.benchmark).read_text(encoding="utf-8").splitlines()[-1])["s"])
    except (OSError, ValueError, KeyError, IndexError, TypeError):
        return None


def failure(log: Path) -> str:
    """The line of a log that says why: our own error, or the last line of a traceback."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - ERROR_BYTES))
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return KILLED
    ours = [line for line in lines if line.startswith("error: ")]
    if ours:
        return ours[-1].removeprefix("error: ")
    if any(line.startswith("Traceback") for line in lines):
        return next(line for line in reversed(lines) if line.strip())
    return KILLED
