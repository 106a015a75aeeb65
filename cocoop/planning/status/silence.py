"""Whether anything still happens: files alone cannot tell a process that works in silence from one that is gone."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cocoop.planning.status import head
from cocoop.planning.status.states import Seen, State

SILENT_SECONDS = 600.0  # progress is written to a log every ten seconds
DAY = 86400.0


def of_job(one: Seen) -> str:
    """What to add to a running job whose log has been silent for long."""
    return f", silent since {clock(one.written)}" if time.time() - one.written > SILENT_SECONDS else ""


def of_everything(seen: Sequence[Seen], folder: Path) -> Iterator[str]:
    """The last sign of life; and if it is old although Snakemake's lock is there, that Snakemake may be gone."""
    if all(one.state is State.DONE for one in seen):
        return
    paths = [*(folder / one.job.log for one in seen), *head.logs(folder)]
    last = max((path.stat().st_mtime for path in paths if path.exists()), default=None)
    if last is None:
        return
    age = time.time() - last
    yield f"the last sign of life is {duration(age)} old ({clock(last)})."
    if age > SILENT_SECONDS and head.locked(folder):
        yield (
            "stopped? Snakemake's lock is there, but nothing has been written since. If neither its process nor a Slurm job of it"
            " lives: the same command with --unlock, then without; nothing finished is lost."
        )


def clock(when: float) -> str:
    """Local time of day, with the date if that is a day ago or more."""
    return time.strftime("%H:%M" if time.time() - when < DAY else "%Y-%m-%d %H:%M", time.localtime(when))


def duration(seconds: float) -> str:
    """3 h 20 min, 5 min or 40 s."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes else f"{rest} s"
