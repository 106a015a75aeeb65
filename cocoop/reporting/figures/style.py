"""The layout that all figures share; the same inputs give the same bytes."""

import io as buffer
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import wrap

import matplotlib
import numpy as np
import pandas as pd
import seaborn
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from scipy.optimize import isotonic_regression

from cocoop import fonts, io
from cocoop.reporting.figures.looks import Look
from cocoop.reporting.records.text import per_cent

WIDTH_INCHES = 7.2
UNDATED = {  # the forms of a figure, and the metadata that would tell when and by which version it was written
    "svg": ("Date", "Creator"),
    "pdf": ("CreationDate", "Creator", "Producer"),
    "png": ("Software",),
}
DPI = 160
MOST_NOTES, NOTE_CHARACTERS, NOTE_SIZE = 12, 150, 6.5
LEAST_ACCURACY = 5.0
LEGEND_LINE_INCHES, SMALL_LEGEND = 0.16, 10  # a legend of more labels than that is in small print
LABEL_SIZE = 6.5
LABEL_INCHES = 0.105  # the least distance of two direct labels


@contextmanager
def theme() -> Iterator[None]:
    """Seaborn's white grid with print sizes; fixed ids in SVG files."""
    settings = {
        **seaborn.axes_style("whitegrid"),
        **seaborn.plotting_context("paper"),
        "font.family": fonts.matplotlib_families(),
        "axes.formatter.useoffset": False,
        "svg.hashsalt": "cocoop",
        "pdf.fonttype": 42,  # TrueType: conferences reject the Type 3 fonts that matplotlib writes by default
        "text.parse_math": False,  # titles come from files: $ is a dollar
        "hatch.linewidth": 0.6,
        "axes.titlesize": 10,
        "legend.frameon": False,
    }
    with matplotlib.rc_context(settings):
        yield


def canvas(height: float, width: float = WIDTH_INCHES) -> Figure:
    """An empty figure (sizes in inches) with a layout that keeps its parts from overlapping."""
    return Figure(figsize=(width, height), dpi=DPI, layout="constrained")


def legend(figure: Figure, handles: Sequence[Artist], labels: list[str]) -> None:
    """One legend above all panels, in as many columns as fit (small print for many); the figure grows with its lines."""
    longest = max((len(label) for label in labels), default=1)
    size, letters = (9.0, 12.0) if len(labels) <= SMALL_LEGEND else (7.5, 14.4)  # letters in an inch
    columns = max(1, min(len(labels), int(figure.get_figwidth() * letters / (longest + 8))))
    figure.legend(handles, labels, loc="outside upper center", ncols=columns, handlelength=3.2, fontsize=size)
    lines = math.ceil(len(labels) / columns)
    figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * size / 9.0 * max(0, lines - 1))


def left_label(grid: np.ndarray, text: str) -> None:
    """Labels the vertical axis of each row of panels, so that the label stands beside them and not beside the legend."""
    for axes in grid[:, 0]:
        axes.set_ylabel(text, fontsize=8)


def panel_inches(least: float, around: float, labels: int) -> float:
    """Height of a panel with room for this number of direct labels. around: inches taken by its title and tick labels."""
    return max(least, around + LABEL_INCHES * labels)


def direct_labels(
    axes: Axes,
    ends: Mapping[str, tuple[float, float]],
    labels: Mapping[str, str],
    looks: Mapping[str, Look],
    inches: float,
) -> None:
    """Writes the label of each series to the right of a panel, at the height of its last point or pushed just clear of others.

    A thin line leads from each point to its label. ends: last point (x, y) of each series in data units; inches: height
    of the panel. Call it last, because later changes of the limits would move the points.
    """
    low, high = axes.get_ylim()
    order = sorted(ends, key=lambda name: ends[name][1])
    heights = spread([(ends[name][1] - low) / (high - low) for name in order], LABEL_INCHES / inches)
    for name, height in zip(order, heights, strict=True):
        leader = {"arrowstyle": "-", "color": looks[name].color, "linewidth": 0.5, "relpos": (0, 0.5), "patchA": None}
        axes.annotate(
            labels[name], ends[name], xytext=(1.04, height), textcoords="axes fraction", va="center", fontsize=LABEL_SIZE,
            arrowprops={**leader, "shrinkA": 1.5, "shrinkB": 0}, annotation_clip=False,
        )  # fmt: skip


def spread(wanted: Sequence[float], least: float) -> list[float]:
    """The positions within 0 to 1, at least `least` apart, that are closest to the wanted ones (least squares).

    wanted: ascending, within 0 to 1. Without room for all, they are 1 / (n - 1) apart.
    """
    if len(wanted) < 2:
        return list(wanted)
    steps = min(least, 1 / (len(wanted) - 1)) * np.arange(len(wanted))
    return list((isotonic_regression(np.asarray(wanted) - steps).x.clip(0, 1 - steps[-1]) + steps).tolist())


def signed(points: float) -> str:
    """A difference in percentage points: `+13.19`, and never `-0.00`."""
    return per_cent(points / 100, sign=True)


def widen(axes: Axes, which: str, least: float) -> None:
    """Makes an axis span at least `least` (in its units), because for equal values matplotlib would show rounding differences.

    which: x or y.
    """
    low, high = getattr(axes, f"get_{which}lim")()
    if abs(high - low) < least:
        middle = (low + high) / 2
        getattr(axes, f"set_{which}lim")(middle - least / 2, middle + least / 2)


def accuracy_limits(axes: Axes, which: str) -> None:
    """Sets the limits of an axis of accuracies in per cent: at least `LEAST_ACCURACY` apart and within 0 to 100 plus a margin."""
    widen(axes, which, LEAST_ACCURACY)
    low, high = getattr(axes, f"get_{which}lim")()
    low, high = max(low, -1.0), min(high, 101.0)
    getattr(axes, f"set_{which}lim")(min(low, 101.0 - LEAST_ACCURACY), max(high, LEAST_ACCURACY - 1.0))


def whisker(middle: float, std: float, low: float = 0.0, high: float = 100.0) -> list[list[float]]:
    """The lengths below and above of a whisker of one standard deviation, as `errorbar` takes them; 0 without a spread.

    It ends where the values end that are possible: low and high are 0 and 100 for accuracies in per cent, -100 and 100 for
    their differences.
    """
    std = 0.0 if pd.isna(std) else std
    return [[max(0.0, min(std, middle - low))], [max(0.0, min(std, high - middle))]]


def mark_empty(axes: Axes, part: pd.DataFrame) -> None:
    """Writes into a panel why it is empty: missing runs, or a single class. part: its rows of a summary."""
    text = "one class only" if part["one_class"].all() else "missing"
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", style="italic", color="0.35")
    axes.set_xticks([])


def save(figure: Figure, path: Path, notes: Sequence[str] = ()) -> list[Path]:
    """Writes a figure with notes below as SVG, PDF and PNG of the same layout, without dates or versions; returns the paths."""
    if layout := figure.get_layout_engine():
        layout.execute(figure)
    figure.set_layout_engine(None)  # with "none", matplotlib would draw everything once more for each file
    area = Bbox.from_bounds(0, 0, figure.get_figwidth(), figure.get_figheight())
    if notes:
        area.y0 = -_write_below(figure, notes)
    paths = []
    for kind, undated in UNDATED.items():
        content = buffer.BytesIO()
        figure.savefig(content, format=kind, metadata=dict.fromkeys(undated), bbox_inches=area)
        paths.append(path.with_suffix(f".{kind}"))
        io.write_bytes(paths[-1], content.getvalue())
    return paths


def _write_below(figure: Figure, notes: Sequence[str]) -> float:
    """Writes notes below the figure's lower edge and returns their height in inches."""
    more = [f"{len(notes) - MOST_NOTES} more notes are under the tables."] if len(notes) > MOST_NOTES else []
    lines = [line for text in (*notes[:MOST_NOTES], *more) for line in wrap(text, NOTE_CHARACTERS)]
    figure.text(0.01, 0, "\n".join(lines), va="top", fontsize=NOTE_SIZE, linespacing=1.25)
    return 0.06 + len(lines) * NOTE_SIZE * 1.5 / 72
