"""Reads the end of a job's log: the error, whether the job finished, and the remaining time."""

import re
from dataclasses import dataclass
from pathlib import Path

LAST_BYTES = 65536
# A line from cocoop.progress: `train coop on digits:  40%|####      | 8/20 [00:10<00:15,  1.25s/step]`.
BAR = re.compile(r"^(?P<what>.*?):?\s+(?P<percent>\d+)%\|.*\[(?P<elapsed>[\d:]+)<(?P<left>[\d:]+|\?)")


@dataclass(frozen=True)
class Ending:
    """The end of a job's log.

    Attributes:
        empty: whether the job wrote nothing.
        error: our error message, or the last line of a traceback.
        finished: whether the last progress bar is complete.
        elapsed: seconds of all progress bars.
        left: seconds until the last progress bar is complete; None if unknown.
    """

    empty: bool = True
    error: str | None = None
    finished: bool = False
    elapsed: float = 0.0
    left: float | None = None


NOTHING = Ending()


def ending(log: Path) -> Ending:
    """Reads the end of a log; a missing log counts as empty."""
    lines = _last_lines(log)
    bars = {bar["what"]: bar for bar in map(BAR.match, lines) if bar}  # the last line of each bar
    last = list(bars.values())[-1] if bars else None
    return Ending(
        empty=not any(line.strip() for line in lines),
        error=_error(lines),
        finished=last is not None and last["percent"] == "100",
        elapsed=sum(_seconds(bar["elapsed"]) for bar in bars.values()),
        left=None if last is None or last["left"] == "?" else _seconds(last["left"]),
    )


def _last_lines(log: Path) -> list[str]:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - LAST_BYTES))
            return file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []


def _error(lines: list[str]) -> str | None:
    ours = [line for line in lines if line.startswith("error: ")]
    if ours:
        return ours[-1].removeprefix("error: ")
    if any(line.startswith("Traceback") for line in lines):
        return next(line for line in reversed(lines) if line.strip())
    return None


def _seconds(clock: str) -> float:
    """tqdm's MM:SS or H:MM:SS."""
    seconds = 0.0
    for part in clock.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds
