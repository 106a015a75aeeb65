"""The second table of `plan`: the floor and the expected time by phase."""

from collections.abc import Mapping, Sequence

from cocoop.planning.cost import phases
from cocoop.planning.cost.phases import Phases

UNITS = ((3600, "hours"), (60, "minutes"), (1, "seconds"))
ENOUGH = 10  # of a unit that the largest sum has at least, if there is a smaller one
LITERAL = "text,\nliteral"


def grid(parts: Mapping[str, Sequence[Phases]], devices: int) -> tuple[list[str], list[list[str]]] | None:
    """The head and the rows; None if no time is known. parts: phases of the GPU jobs by row; devices: how many share them."""
    sums = {name: phases.total(jobs) for name, jobs in parts.items()}
    known = [value for row in sums.values() for value in row[:4] if value]
    if not known:
        return None
    largest = max(row.total or max(value or 0 for value in row) for row in sums.values())
    size, unit = next((pair for pair in UNITS if largest >= ENOUGH * pair[0]), UNITS[-1])
    literal = any(row.literal for row in sums.values())
    head = [f"{unit}", "floor", "images", "text", "launches", "starts", "total"]
    head += [f"on {devices}\ndevices"] * (devices > 1) + [LITERAL] * literal
    rows = []
    for name, row in sums.items():
        several = [phases.on(devices, [job.total for job in parts[name]])] if devices > 1 else []
        cells = [*row[:5], row.total, *several, *([row.literal] if literal else [])]
        rows.append([name, *(_shown(value, size) for value in cells)])
    return head, rows


def _shown(seconds: float | None, unit: int) -> str:
    if seconds is None:
        return "?"
    number = seconds / unit
    return f"{number:,.{0 if number >= 100 else 1 if number >= 10 else 2}f}"
