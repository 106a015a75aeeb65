"""The GPU of a job. On a machine with several, each job takes a free place on one of them; no torch.

CUDA reads CUDA_VISIBLE_DEVICES once, when it starts, so `take` runs before anything asks for a GPU.
"""

import logging
import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from cocoop.errors import UserError

if TYPE_CHECKING:
    from filelock import FileLock

logger = logging.getLogger(__name__)
VISIBLE = "CUDA_VISIBLE_DEVICES"
PRETEND = "COCOOP_PRETEND_GPUS"  # names of GPUs, separated by commas: jobs take places on them and compute on the CPU
HIDDEN = ("", "-1", "NoDevFiles")  # values of CUDA_VISIBLE_DEVICES that hide all devices; the last one is Slurm's
CARD = re.compile(r"GPU (?P<index>\d+): (?P<name>.+) \(UUID: (?P<uuid>\S+)\)")  # lines of `nvidia-smi -L`
PART = re.compile(r"\s+(?P<name>MIG \S+)\s+Device\s+\d+: \(UUID: (?P<uuid>\S+)\)")
SECONDS = 0.5  # between two looks for a free place
_taken: "list[FileLock]" = []  # held until the process ends


@dataclass(frozen=True)
class Card:
    """A GPU, or a MIG part of one.

    Attributes:
        value: its name for CUDA_VISIBLE_DEVICES.
        uuid: the same for all processes on the machine; the value if nvidia-smi does not say it.
        about: its model; empty if unknown.
        index: its number in `nvidia-smi`; None for a part.
    """

    value: str
    uuid: str
    about: str = ""
    index: int | None = None

    def __str__(self) -> str:
        return f"{self.value} ({self.about})" if self.about else self.value


def take(places: int) -> Card | None:
    """Takes a place on the visible GPU with the most free ones, and hides all other GPUs from this process.

    places: the number of jobs that may share a GPU. If all places are taken, waits for one.
    A place is a lock on a file, which the operating system releases when the process ends, even after `kill -9`.
    Returns None, and changes nothing, if there is no GPU, if Slurm has given this job a single one, or if this process has a
    place already.
    """
    cards = [] if _taken else visible()
    if not cards or (len(cards) == 1 and "SLURM_JOB_ID" in os.environ):
        return None
    card, place, lock = _wait(cards, places)
    _taken.append(lock)
    os.environ[VISIBLE] = card.value
    logger.info("GPU: %s%s", card, f", place {place + 1} of {places}" if places > 1 else "")
    return card


def pretended() -> str | None:
    """The pretended GPU that this process has taken; None on a real machine."""
    return os.environ.get(VISIBLE) if PRETEND in os.environ else None


def visible() -> list[Card]:
    """The GPUs that CUDA_VISIBLE_DEVICES shows to this process: all of the machine if it is not set.

    Like CUDA, ignores everything behind the first entry that names no GPU.
    """
    listed = _pretend() if PRETEND in os.environ else _parsed(_asked())
    if (wanted := os.environ.get(VISIBLE)) is None:
        return _smallest(listed)
    found: list[Card] = []
    for value in () if wanted in HIDDEN else wanted.split(","):
        if (card := _named(value.strip(), listed)) is None:
            break
        found.append(card)
    return found


def _named(value: str, listed: Sequence[Card]) -> Card | None:
    """The GPU with this index, or whose UUID begins like this."""
    if not listed:  # no nvidia-smi
        return None if value in HIDDEN else Card(value, value)
    for card in listed:
        if value == str(card.index) or (value and not value.isdecimal() and card.uuid.startswith(value)):
            return Card(value, card.uuid, card.about, card.index)
    return None


def _smallest(listed: Sequence[Card]) -> list[Card]:
    """The cards that are not divided, and the parts of the others."""
    divided = {card.uuid for card, part in pairwise(listed) if card.index is not None and part.index is None}
    return [card for card in listed if card.uuid not in divided]


def _pretend() -> list[Card]:
    names = [name.strip() for name in os.environ[PRETEND].split(",") if name.strip()]
    return [Card(name, name, "pretended", index) for index, name in enumerate(names)]


def _asked() -> str:
    try:
        asked = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout


def _parsed(text: str) -> list[Card]:
    """The cards in the output of `nvidia-smi -L`, each followed by its MIG parts."""
    found = []
    for line in text.splitlines():
        if card := CARD.fullmatch(line):
            found.append(Card(card["uuid"], card["uuid"], card["name"], int(card["index"])))
        elif part := PART.fullmatch(line):
            found.append(Card(part["uuid"], part["uuid"], part["name"]))
    return found


def _folder() -> Path:
    """The folder of this user's locks on this machine, or inside this Slurm job, whose GPUs are its own."""
    job = os.environ.get("SLURM_JOB_ID")
    folder = Path(tempfile.gettempdir()) / f"cocoop-gpus-{os.getuid()}{f'-{job}' if job else ''}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: cannot be made ({error.strerror}), but it is needed to share GPUs between jobs; "
                        "set TMPDIR to a folder on this machine that you can write to.") from error  # fmt: skip
    return folder


def _wait(cards: Sequence[Card], places: int) -> "tuple[Card, int, FileLock]":
    folder = _folder()
    found = _take(cards, places, folder)
    if not found:
        jobs = f"{places} jobs" if places > 1 else "one job"
        logger.info(
            "waiting for a GPU: each of %d has %s; `snakemake --resources gpu=%d` starts no more jobs than there is room for",
            len(cards), jobs, len(cards) * places,
        )  # fmt: skip
    while not found:
        time.sleep(SECONDS)
        found = _take(cards, places, folder)
    return found


def _take(cards: Sequence[Card], places: int, folder: Path) -> "tuple[Card, int, FileLock] | None":
    """The held lock of a free place on the card with the most free places; None if there is none.

    Only one process at a time looks, because it holds all free places for a moment.
    """
    from filelock import FileLock

    try:
        with FileLock(folder / "looking.lock"):
            free = [(card, list(_free(card, places, folder))) for card in cards]
            card, held = max(free, key=lambda each: len(each[1]))  # the first of those with equally many
            for _, lock in (each for other, found in free for each in (found if other is not card else found[1:])):
                lock.release()
    except OSError as error:
        raise UserError(f"{folder}: its locks cannot be used ({error.strerror}); delete it, or set TMPDIR to a folder on "
                        "this machine that you can write to.") from error  # fmt: skip
    return (card, *held[0]) if held else None


def _free(card: Card, places: int, folder: Path) -> "Iterator[tuple[int, FileLock]]":
    """The free places of a card, now held."""
    from filelock import FileLock, Timeout

    for place in range(places):
        lock = FileLock(folder / f"{re.sub(r'[^A-Za-z0-9-]', '_', card.uuid)}.{place}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            continue
        yield place, lock
