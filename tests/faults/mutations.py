"""Byte-level mutations of a file, as a hypothesis strategy, and the verdict on what a reader makes of one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cocoop.errors import UserError

DAMAGE = ("flip", "overwrite", "insert", "delete", "truncate", "append", "repeat", "swap")
HEAD_BYTES = 4096  # headers are small and telling: half of all mutations hit them


@st.composite
def mutation(draw, size: int) -> tuple[str, int, int, bytes]:
    """(kind, position, length, bytes) for a file of `size` bytes."""
    place = st.integers(0, size - 1)
    at = draw(st.one_of(st.integers(0, min(size, HEAD_BYTES) - 1), place))
    length = draw(st.sampled_from([1, 1, 2, 8, 64, 1000]))
    return draw(st.sampled_from(DAMAGE)), at, length, draw(st.binary(min_size=1, max_size=8))


def mutated(content: bytes, kind: str, at: int, length: int, other: bytes) -> bytes:
    """The content with one mutation in it."""
    end = min(at + length, len(content))
    middle = {
        "flip": bytes([content[at] ^ (1 << other[0] % 8)]) + content[at + 1 : end],
        "overwrite": (other * length)[: end - at],
        "insert": other + content[at:end],
        "delete": b"",
        "truncate": b"",
        "append": content[at:end],
        "repeat": content[at:end] * 2,
        "swap": content[at:end][::-1],
    }[kind]
    after = {"truncate": b"", "append": content[end:] + other}.get(kind, content[end:])
    return content[:at] + middle + after


def judge(read: Callable[[Path], Any], path: Path, expected: Any, same: Callable[[Any, Any], bool]) -> str:
    """detected (a UserError that names the file), same result, accepted (another result), or crashed."""
    try:
        found = read(path)
    except UserError as error:
        good = str(path) in str(error) and "\n" not in str(error)
        return "detected" if good else f"crashed: no line that names the file: {error}"
    except Exception as error:  # whatever it is, a user would see a traceback
        return f"crashed {type(error).__name__}: {error}"
    return "same result" if same(found, expected) else "accepted"


def fuzz(
    path: Path,
    read: Callable[[Path], Any],
    same: Callable[[Any, Any], bool],
    examples: int,
    note: Callable[[str], None],
) -> list[str]:
    """Mutates a whole file `examples` times; notes every outcome and returns the bad ones with their mutation."""
    content, expected, bad = path.read_bytes(), read(path), []

    @settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )
    @given(mutation(len(content)))
    def once(change: tuple[str, int, int, bytes]) -> None:
        path.write_bytes(mutated(content, *change))
        outcome = judge(read, path, expected, same)
        note("crashed" if outcome.startswith("crashed") else outcome)
        if outcome.startswith(("crashed", "accepted")):
            bad.append(f"{outcome} after {change}")

    try:
        once()
    finally:
        path.write_bytes(content)
    return bad
