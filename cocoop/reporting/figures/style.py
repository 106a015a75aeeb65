"""How every figure looks: legible in black-and-white and for the colour-blind, the same bytes each time."""

import io as buffer
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap
from typing import Any

import matplotlib
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from cocoop import fonts, io
from cocoop.reporting.records.text import per_cent

WIDTH_INCHES = 7.2
DPI = 160
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--", "**", "||")
MOST_NOTES, NOTE_CHARACTERS, NOTE_SIZE = 12, 150, 6.5
LEAST_ACCURACY = 5.0
LEGEND_LINE_INCHES = 0.16


@dataclass(frozen=True)
class Look:
    """One series in every figure: colour, marker, line and hatch, of which any one tells the first few series apart."""

    color: tuple[float, float, float]
    marker: str
    line: Any  # as matplotlib takes a linestyle: its name, or (offset, (on, off, ...))
    hatch: str


def looks(series: Iterable[str]) -> dict[str, Look]:
    """A look for each series by its place in the experiment, so that it is the same in all of its figures."""
    palette = seaborn.color_palette("colorblind")
    found = {}
    for place, name in enumerate(series):
        shifted = place + place // len(palette)  # after the last colour, the first comes with another marker and hatch
        marker, hatch = MARKERS[shifted % len(MARKERS)], HATCHES[shifted % len(HATCHES)]
        found[name] = Look(palette[place % len(palette)], marker, DASHES[place % len(DASHES)], hatch)
    return found


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid with print sizes; fixed ids in SVG files."""
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("paper"),
        "font.family": fonts.matplotlib_families(),
        "axes.formatter.useoffset": False,
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


def legend(figure: Figure, handles: Sequence[Artist], labels: list[str]) -> None:
    """One legend above all panels, in as many columns as fit the width; the figure grows by its further lines."""
    longest = max((len(label) for label in labels), default=1)
    columns = max(1, min(len(labels), int(figure.get_figwidth() * 12 / (longest + 8))))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=3.2)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * max(0, math.ceil(len(labels) / columns) - 1))


def signed(points: float) -> str:
    """A difference in percentage points: `+13.19`, and never `-0.00`."""
    return per_cent(points / 100, sign=True)


def widen(axes: Axes, which: str, least: float) -> None:
    """Makes an axis span at least so much: of equal values matplotlib would show differences of rounding.

    which: x or y; least: in the axis's units.
    """
    low, high = getattr(axes, f"get_{which}lim")()
    if abs(high - low) < least:
        middle = (low + high) / 2
        getattr(axes, f"set_{which}lim")(middle - least / 2, middle + least / 2)


def accuracy_limits(axes: Axes, which: str) -> None:
    """Limits of an axis of accuracies in per cent: at least `LEAST_ACCURACY` wide and, but for a margin, within 0 to 100."""
    widen(axes, which, LEAST_ACCURACY)
    low, high = getattr(axes, f"get_{which}lim")()
    low, high = max(low, -1.0), min(high, 101.0)
    getattr(axes, f"set_{which}lim")(min(low, 101.0 - LEAST_ACCURACY), max(high, LEAST_ACCURACY - 1.0))


def mark_empty(axes: Axes, part: pd.DataFrame) -> None:
    """Says why a panel shows nothing: its runs are missing, or it is about a single class. part: its rows of a summary."""
    text = "one class only" if part["one_class"].all() else "missing"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", style="italic", color="0.35")
    axes.set_xticks([])


def note(text: str) -> Figure:
    """A figure that says why there is nothing to show."""
    figure = canvas(1.2)
    figure.text(0.5, 0.5, text, ha="center", va="center", wrap=True)
    return figure


def save(figure: Figure, path: Path, notes: Sequence[str] = ()) -> list[Path]:
    """Writes path.svg and path.png without dates or versions, in one layout, with notes below; returns both."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    area = Bbox.from_bounds(0, 0, figure.get_figwidth(), figure.get_figheight())
    if notes:
        area.y0 = -_write_below(figure, notes)
    paths = []
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        content = buffer.BytesIO()
        figure.savefig(content, format=kind, metadata=metadata, bbox_inches=area)
        paths.append(path.with_suffix(f".{kind}"))
        io.write_bytes(paths[-1], content.getvalue())
    return paths


def _write_below(figure: Figure, notes: Sequence[str]) -> float:
    """Writes notes below the figure's lower edge; the inches they take."""
    more = [f"And {len(notes) - MOST_NOTES} more notes, under the tables."] if len(notes) > MOST_NOTES else []
    lines = [line for text in (*notes[:MOST_NOTES], *more) for line in wrap(text, NOTE_CHARACTERS)]
    figure.text(0.01, 0, "\n".join(lines), va="top", fontsize=NOTE_SIZE, linespacing=1.25)
    return 0.06 + len(lines) * NOTE_SIZE * 1.5 / 72
