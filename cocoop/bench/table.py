"""The measurements as a Markdown table and as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tabulate import tabulate

from cocoop.bench.cases import Case

HEAD = (
    "method", "pass", "classes", "seeds", "batch", "precision", "literal s", "fast s", "ratio",
    "literal MB", "fast MB", "ratio", "literal % of peak", "fast % of peak",
)  # fmt: skip


@dataclass
class Measured:
    """Measurements of one case. Mappings have a key for each measured side ("literal", "fast").

    Attributes:
        seconds: median time of a step.
        tokens: number of tokens in the text tower per step; empty if not counted.
        flops: operations counted for the side; empty if not counted.
        disagreement: largest relative difference of loss and gradients, or of logits, in the 2-norm.
        note: why the literal side is missing.
        peak_mb: peak memory of a step in MB.
        peak: operations per second of the fastest matrix product.
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
        """Fraction of this machine's peak speed of matrix products that the side reaches."""
        counted = side in self.seconds and side in self.flops
        return self.flops[side] / self.seconds[side] / self.peak if counted else None

    def ratio(self) -> float | None:
        """How many times as long the literal side takes."""
        return self.seconds["literal"] / self.seconds["fast"] if "literal" in self.seconds else None

    def memory_ratio(self) -> float | None:
        """How many times as much memory the literal side takes; None if it is not known."""
        literal, fast = self.peak_mb.get("literal"), self.peak_mb.get("fast")
        return literal / fast if literal and fast else None

    def record(self) -> dict[str, Any]:
        """JSON values for the output file."""
        sides = {
            side: {
                "seconds": self.seconds[side],
                "peak_mb": self.peak_mb.get(side),
                "tokens": self.tokens.get(side),
                "flops": self.flops.get(side),
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
    """A Markdown table with explanations and the reasons for missing values."""
    grid = tabulate(
        [_row(m) for m in measured],
        HEAD,
        "pipe",
        disable_numparse=True,
        colalign=["left"] * 2 + ["right"] * (len(HEAD) - 2),
    )
    notes = [
        where,
        "seconds: median of one training step (forward, backward, update) or of the evaluation of a batch; "
        "MB: peak memory of that step; several seeds: one batch, and literally one run after the other;",
        "% of peak: operations of the side (cocoop/bench/operations.py) per second, relative to the fastest matrix product "
        f"({', '.join(sorted({f'{m.case.precision} {m.peak / 1e9:,.0f} GFLOP/s' for m in measured}))}).",
    ]
    agreed = [m.disagreement for m in measured if m.disagreement is not None]
    if agreed:
        notes.append(
            f"Losses, gradients and logits of both sides differ by at most {max(agreed):.1e} (relative, 2-norm)."
        )
    notes += [f"{m.case}: {m.note}" for m in measured if m.note]
    return "\n".join([grid, "", *notes])


def _row(m: Measured) -> list[str]:
    case = m.case
    literal, fast = m.seconds.get("literal"), m.seconds["fast"]
    before, after = m.peak_mb.get("literal"), m.peak_mb.get("fast")
    return [
        case.method, case.work, str(case.classes), str(case.seeds), str(case.batch), case.precision,
        _number(literal, ".3g"), _number(fast, ".3g"), _times(m.ratio()),
        _number(before, ".0f"), _number(after, ".0f"), _times(m.memory_ratio()),
        _number(m.fraction("literal"), ".0%"), _number(m.fraction("fast"), ".0%"),
    ]  # fmt: skip


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _times(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f}x"
