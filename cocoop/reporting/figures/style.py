"""How every figure looks: legible in black-and-white and for the colour-blind, the same bytes each time."""

import io as buffer
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cocoop import io

WIDTH_INCHES = 7.2
DPI = 160
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--", "**", "||")
DECIMALS_MINUS = "\N{MINUS SIGN}"


@dataclass(frozen=True)
class Look:
    """One series in every figure: colour, marker, line and hatch differ between series, so any one of them is enough."""

    color: tuple[float, float, float]
    marker: str
    line: str | tuple
    hatch: str


def looks(series: Iterable[str]) -> dict[str, Look]:
    """A look for each series by its place in the experiment, so that it is the same in all of its figures."""
    palette = seaborn.color_palette("colorblind")
    return {
        name: Look(
            palette[place % len(palette)],
            MARKERS[place % len(MARKERS)],
            DASHES[place % len(DASHES)],
            HATCHES[place % len(HATCHES)],
        )
        for place, name in enumerate(series)
    }


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid with print sizes; fixed ids in SVG files."""
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("paper"),
        "font.family": "DejaVu Sans",
        "svg.hashsalt": "cocoop",
        "text.parse_math": False,  # titles come from files: $ is a dollar
        "hatch.linewidth": 0.6,
        "axes.titlesize": 10,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(settings):
        yield


def canvas(height: float, width: float = WIDTH_INCHES) -> Figure:
    """An empty figure, in inches, whose parts are kept from overlapping."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def legend(figure: Figure, handles: list[Artist], labels: list[str]) -> None:
    """One legend above all panels, in as many columns as fit the width."""
    longest = max((len(label) for label in labels), default=1)
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 12 / (longest + 8))))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=3.2)


def signed(points: float) -> str:
    """A difference in percentage points: `+13.19`."""
    return f"{points:+.2f}".replace("-", DECIMALS_MINUS)


def mark_empty(axes: Axes) -> None:
    """Says that a panel shows nothing because its runs are missing."""
    axes.text(0.5, 0.5, "missing", transform=axes.transAxes, ha="center", va="center", style="italic", color="0.35")
    axes.set_xticks([])


def note(text: str) -> Figure:
    """A figure that says why there is nothing to show."""
    figure = canvas(1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure


def save(figure: Figure, path: Path) -> list[Path]:
    """Writes path.svg and path.png without dates or versions, in one layout; returns both."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    paths = []
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        content = buffer.BytesIO()
        figure.savefig(content, format=kind, metadata=metadata)
        paths.append(path.with_suffix(f".{kind}"))
        io.write_bytes(paths[-1], content.getvalue())
    return paths
