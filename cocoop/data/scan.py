"""Opens every image of a dataset once, to find unreadable images and images with unexpected properties."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from cocoop import progress
from cocoop.data.images import NEARLY_BLACK, Examined, examine, reader_of
from cocoop.data.ranges import Rule
from cocoop.errors import UserError, listed

THREADS = min(8, os.cpu_count() or 1)
EXAMPLES = 3
TRAITS = {
    "one colour": "are of one colour once decoded",
    "nearly black": f"are nearly black once decoded (no value above {NEARLY_BLACK} of 255)",
    "transparent": "have transparency, which is dropped, so that the colours below it show (as in the reference); write "
    "`transparency: white` to paste them onto white",
    "frames": "have several frames, of which the first is taken (as in the reference)",
    "turned": "are turned by their EXIF orientation, which is ignored (as in the reference)",
    "CMYK": "are CMYK, and become RGB without their colour profile (as in the reference)",
}
ON_WHITE = "are transparent, and pasted onto white"
LOST = ("one colour", "nearly black")  # nothing is visible


class Survey(NamedTuple):
    """unreadable: reasons by path; lines: lines of `dataset check` about the other images."""

    unreadable: dict[str, str]
    lines: list[str]


def unreadable(folder: Path, paths: Sequence[str], on_white: bool = False) -> dict[str, str]:
    """The reason for each path (relative to the folder) that cannot be decoded, in the given order."""
    return {path: why for path, why in _each(reader_of(on_white), folder, paths).items() if isinstance(why, str)}


def survey(folder: Path, paths: Sequence[str], on_white: bool = False) -> Survey:
    """Decodes all images (paths relative to the folder) and summarises their unusual properties."""
    found = _each(partial(examine, on_white=on_white), folder, paths)
    good = {path: result for path, result in found.items() if isinstance(result, Examined)}
    bad = {path: why for path, why in found.items() if isinstance(why, str)}
    return Survey(bad, [*_traits(good, on_white), *_rules(good)])


def _each(look: Callable, folder: Path, paths: Sequence[str]) -> dict[str, object]:
    """The result of `look` for each path, or the message of its UserError."""

    def result(path: str) -> object:
        try:
            return look(folder / path)
        except UserError as error:
            return str(error)

    with ThreadPoolExecutor(THREADS) as pool:
        results = progress.track(pool.map(result, paths, chunksize=1), "reading images", "image", total=len(paths))
        return dict(zip(paths, results, strict=True))


def _traits(good: dict[str, Examined], on_white: bool) -> Iterator[str]:
    for trait, words in (TRAITS | ({"transparent": ON_WHITE} if on_white else {})).items():
        having = [path for path, examined in good.items() if trait in examined.traits]
        if having:
            mark = "problem" if trait in LOST and 2 * len(having) >= len(good) else "note"
            yield f"{mark}: {len(having)} of {len(good)} images {words}: {listed(having, EXAMPLES)}"


def _rules(good: dict[str, Examined]) -> Iterator[str]:
    """How values of more than 8 bits were scaled to 0..255, and possible problems."""
    rules: dict[str, dict[str, Rule]] = defaultdict(dict)
    for path, examined in good.items():
        if examined.rule:
            rules[str(examined.rule)][path] = examined.rule
    for text, having in rules.items():
        largest, white = max(rule.largest for rule in having.values()), next(iter(having.values())).white
        dark = 2 * largest < white
        advice = (
            "; less than half of white, so all are dark: scale them yourself and save them as 8 bits" if dark else ""
        )
        yield (
            f"{'problem' if dark else 'note'}: {len(having)} images are {text}; their largest value is {largest:g}{advice}:"
            f" {listed(having, EXAMPLES)}"
        )
    whites = defaultdict(set)
    for having in rules.values():
        rule = next(iter(having.values()))
        whites[rule.kind].add(rule.white)
    for kind, values in whites.items():
        if len(values) > 1:
            yield (
                f"problem: images of {kind} follow different rules (white is {listed(f'{v:g}' for v in sorted(values))}), so"
                " their brightness cannot be compared; save them all as 8 bits"
            )
