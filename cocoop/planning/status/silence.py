"""The time of the last activity, because files cannot show whether a silent process is working or dead."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoop.planning.status import head
from cocoop.planning.status.states import Seen, State

SILENT_SECONDS = 600.0  # progress is written to a log every ten seconds
DAY = 86400.0


def of_job(one: Seen) -> str:
    """A note for a running job that has not written to its log for a long time; else empty."""
    return f", silent since {clock(one.written)}" if time.time() - one.written > SILENT_SECONDS else ""


def of_everything(seen: Sequence[Seen], folder: Path) -> Iterator[str]:
    """The time of the last activity, with a hint if it is long ago but Snakemake's lock still exists."""
    if all(one.state is State.DONE for one in seen):
        return
    paths = [*(folder / one.job.log for one in seen), *head.logs(folder)]
    last = max((path.stat().st_mtime for path in paths if path.exists()), default=None)
    if last is None:
        return
    age = time.time() - last
    yield f"the last activity was {duration(age)} ago ({clock(last)})."
    if age > SILENT_SECONDS and head.locked(folder):
        yield (
            "stopped? Snakemake's lock exists, but nothing has been written since. If neither Snakemake nor any of its Slurm jobs"
            " is running, run the same command with --unlock, then without it; finished work is kept."
        )


def clock(when: float) -> str:
    """Local time of day, with the date if it is at least a day ago."""
    return time.strftime("%H:%M" if time.time() - when < DAY else "%Y-%m-%d %H:%M", time.localtime(when))


def duration(seconds: float) -> str:
    """3 h 20 min, 5 min or 40 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{rest} s"
