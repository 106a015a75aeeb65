"""What the end of a job's log tells: an error, whether the work came to its end, how long the rest takes."""

import re
from dataclasses import dataclass
from pathlib import Path

LAST_BYTES = 65536
# A line of cocoop.progress: `train coop on digits:  40%|####      | 8/20 [00:10<00:15,  1.25s/step]`.
BAR = re.compile(r"^(?P<what>.*?):?\s+(?P<percent>\d+)%\|.*\[(?P<elapsed>[\d:]+)<(?P<left>[\d:]+|\?)")


@dataclass(frozen=True)
class Ending:
    """empty: the job wrote nothing; error: our own error or the last line of a traceback; finished: its last bar is full.

    elapsed: seconds of all its bars; left: seconds until its last bar is full, None where it does not say.
    """

    empty: bool = True
    error: str | None = None
    finished: bool = False
    elapsed: float = 0.0
    left: float | None = None


NOTHING = Ending()


def ending(log: Path) -> Ending:
    """Reads the end of a log; a log that is not there is an empty one."""
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
