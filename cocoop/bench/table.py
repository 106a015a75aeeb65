"""The measurements as one table for the terminal (and for Markdown), and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from cocoop.bench.cases import Case

HEAD = (
    "method", "pass", "classes", "batch", "precision", "literal s", "fast s", "ratio",
    "literal MB", "fast MB", "ratio", "literal % of peak", "fast % of peak",
)  # fmt: skip


@dataclass
class Measured:
    """One case. Mappings have a key for each side measured ("literal", "fast").

    seconds: of one step, median; tokens: that enter the tower in it; flops: operations counted for the side; disagreement:
    largest relative difference of loss and gradients, or of logits, in the 2-norm; note: why the literal side is missing;
    peak_mb: memory a step adds; peak: operations a second of the fastest matrix product.
    """

    case: Case
    seconds: Mapping[str, float]
    tokens: Mapping[str, int]
    flops: Mapping[str, int]
    disagreement: float | None
    note: str | None
    peak_mb: Mapping[str, float | None] = field(default_factory=dict)
    peak: float = 0.0

    def fraction(self, side: str) -> float | None:
        """Of this machine's matrix-product peak, by the operations counted for the side."""
        return self.flops[side] / self.seconds[side] / self.peak if side in self.seconds else None

    def record(self) -> dict[str, Any]:
        """For the JSON file."""
        sides = {
            side: {
                "seconds": self.seconds[side],
                "peak_mb": self.peak_mb.get(side),
                "tokens": self.tokens[side],
                "flops": self.flops[side],
                "fraction_of_peak": self.fraction(side),
            }
            for side in self.seconds
        }
        return {
            **vars(self.case),
            **sides,
            "disagreement": self.disagreement,
            "note": self.note,
            "peak_flops": self.peak,
        }


def rendered(measured: Sequence[Measured], where: str) -> str:
    """A pipe table, with how to read it and why something is missing."""
    grid = tabulate(
        [_row(m) for m in measured], HEAD, "pipe", disable_numparse=True, colalign=["left"] * 2 + ["right"] * 11
    )
    notes = [
        where,
        "seconds: median of one training step (forward, backward, update) or of the evaluation of a batch; "
        "MB: what that step adds to memory at its peak;",
        "% of peak: operations counted for the side (cocoop/bench/operations.py), per second, of the fastest matrix product here "
        f"({', '.join(sorted({f'{m.case.precision} {m.peak / 1e9:,.0f} GFLOP/s' for m in measured}))}).",
    ]
    agreed = [m.disagreement for m in measured if m.disagreement is not None]
    if agreed:
        notes.append(
            f"Losses, gradients and logits of both sides differ by {max(agreed):.1e} at most (relative, 2-norm)."
        )
    notes += [f"{m.case}: {m.note}" for m in measured if m.note]
    return "\n".join([grid, "", *notes])


def _row(m: Measured) -> list[str]:
    case = m.case
    literal, fast = m.seconds.get("literal"), m.seconds["fast"]
    before, after = m.peak_mb.get("literal"), m.peak_mb.get("fast")
    return [
        case.method, case.work, str(case.classes), str(case.batch), case.precision,
        _number(literal, ".3g"), _number(fast, ".3g"), _ratio(literal, fast),
        _number(before, ".0f"), _number(after, ".0f"), _ratio(before, after),
        _number(m.fraction("literal"), ".0%"), _number(m.fraction("fast"), ".0%"),
    ]  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _ratio(before: float | None, after: float | None) -> str:
    return "-" if before is None or not after else f"{before / after:.1f}x"
