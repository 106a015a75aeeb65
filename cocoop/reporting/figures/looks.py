"""Colour, marker, line and hatch of a variant: the same in all figures of a report.

A variant's place is its position among all variants of the configuration (`cocoop.planning.content`), so experiments that
share a variant also share its look, and a further variant at the end changes no other. The first ten places have the
colours of seaborn's palette "colorblind", the next ten those of Paul Tol's palette "muted" (technical note SRON/EPS/TN/09-002)
with black for its pale grey, ordered so that those most different from the first ten come first. From place 20 on, the same
twenty colours come again, darkened. No set of more than about ten colours stays apart for every reader, so neighbouring
places also differ in marker, line and hatch, and these shift by one with every ten places.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Color = tuple[float, float, float]
COLORBLIND = (
    "#0173B2", "#DE8F05", "#029E73", "#D55E00", "#CC78BC", "#CA9161", "#FBAFE4", "#949494", "#ECE133", "#56B4E9",
)  # fmt: skip
MUTED = ("#332288", "#882255", "#999933", "#117733", "#000000", "#CC6677", "#44AA99", "#AA4499", "#DDCC77", "#88CCEE")
HUES = (*COLORBLIND, *MUTED)
DARKER = 0.55  # what is left of a colour's brightness in each further round
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))
HATCHES = ("", "///", "...", "xxx", "\\\\\\", "++", "oo", "--", "**", "||")


@dataclass(frozen=True)
class Look:
    """How a series is drawn. line: a linestyle of matplotlib, a name or (offset, (on, off, ...))."""

    color: Color
    marker: str
    line: Any
    hatch: str


def look(place: int, turn: int = 0) -> Look:
    """The look of a place. turn: 0 for a variant's first series, 1 for its second, ...; only the colour is the same."""
    turns, hue = divmod(place, len(HUES))
    red, green, blue = (part / 255 * DARKER**turns for part in bytes.fromhex(HUES[hue][1:]))
    shifted = place + place // 10 + turn
    marker, hatch = MARKERS[shifted % len(MARKERS)], HATCHES[shifted % len(HATCHES)]
    return Look((red, green, blue), marker, DASHES[(place + turn) % len(DASHES)], hatch)


def css_color(place: int) -> str:
    """The colour of a place as CSS writes it, `#0173b2`."""
    return "#" + bytes(round(255 * part) for part in look(place).color).hex()


def of_variants(experiment: Mapping[str, Any]) -> dict[str, Look]:
    """The look of each variant of an experiment."""
    return {name: look(place) for name, place in places(experiment).items()}


def places(experiment: Mapping[str, Any]) -> dict[str, int]:
    """The place of each variant of an experiment; one outside a configuration numbers its own variants."""
    return {variant["name"]: variant.get("place", number) for number, variant in enumerate(experiment["variants"])}


def of_series(experiment: Mapping[str, Any], series: Iterable[tuple[str, str]]) -> dict[str, Look]:
    """The look of each series. series: pairs of a series and its variant, in the order in which they are shown."""
    place_of = places(experiment)
    turns = dict.fromkeys(place_of, 0)
    found = {}
    for name, variant in series:
        found[name] = look(place_of[variant], turns[variant])
        turns[variant] += 1
    return found
