"""`dataset check`: the contents of a dataset, problems with its images, and the tokens of its prompts."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cocoop.config.specs import DatasetSpec
from cocoop.data.contact_sheet import draw_sheet
from cocoop.data.download.place import link
from cocoop.data.duplicates import same_content
from cocoop.data.names import LONGEST, MOST_TOKENS, Tokenize, spoken
from cocoop.data.observations import observations
from cocoop.data.on_disk import image_bytes
from cocoop.data.prepare import listing_of
from cocoop.data.prompts import PROBLEM, of_descriptions, of_ensemble
from cocoop.data.readers import Listing
from cocoop.data.scan import survey
from cocoop.data.verify import problems
from cocoop.errors import counted, cut, listed, shown
from cocoop.manifest import SPLITS, Manifest, counts_per_class

TellApart = Callable[[Sequence[str]], str]
EXAMPLES = 3
PROMPT_LENGTH = 120  # maximal number of characters shown


def report(
    spec: DatasetSpec,
    data_root: Path,
    sheet: Path | None = None,
    tokenize: Tokenize | None = None,
    tell_apart: TellApart | None = None,
    manifest: Path | None = None,
) -> str:
    """The findings, one per line; problems start with PROBLEM.

    sheet: path for the contact sheet (PNG).
    tokenize: returns the token ids of a prompt, including start and end token.
    tell_apart: returns a line about whether a backbone can tell these class names apart.
    manifest: manifest of existing results, which may not exist; the images are compared with those it was made from.
    Raises a UserError for a dataset that cannot be read at all.
    """
    folder = Path(data_root) / spec.folder
    if "link" in spec.settings:
        link(spec, folder)
    listing = listing_of(spec, folder)
    lines = [f"dataset {spec.name} ({spec.title}) in {folder}", *_counts(spec, listing)]
    lines += [f"note: {note}" for note in [*listing.notes, *observations(listing, tokenize)]]
    found = [f"{PROBLEM}{problem}" for problem in problems(spec, folder, listing, tokenize)]
    lines += found or [_as_published(spec)]
    paths = sorted(
        {item.path for items in listing.splits.values() for item in items if os.path.isfile(folder / item.path)}
    )
    bad, findings = survey(folder, paths, spec.on_white)
    good = [path for path in paths if path not in bad]
    lines += [*_replaced(folder, manifest), *_unreadable(spec, bad), *findings, *_without_images(listing, set(good))]
    lines += [*_leaks(spec, folder, listing, good), *_prompts(spec, listing, tokenize)]
    for said in (of_ensemble, of_descriptions):
        lines += said(spec, listing.classnames, tokenize)
    lines += [tell_apart(listing.classnames)] if tell_apart else []
    if sheet is not None:
        draw_sheet(sheet, folder, listing, set(good), spec.on_white)
        lines.append(f"contact sheet: {sheet}")
    return "\n".join(lines)


def _counts(spec: DatasetSpec, listing: Listing) -> Iterator[str]:
    names = listing.classnames
    yield f"classes: {len(names)}: {listed(map(cut, names), 8)}"
    for split in SPLITS:
        items = listing.splits.get(split, ())
        if not items:
            yield f"{split}: no images"
            continue
        counts = counts_per_class([item.label for item in items], len(names))
        smallest, largest = min(counts), max(counts)
        yield (
            f"{split}: {len(items)} images, {smallest} to {largest} per class;"
            f" smallest class: {shown(names[counts.index(smallest)])} with {smallest}"
        )


def _as_published(spec: DatasetSpec) -> str:
    published = any(spec.sizes.values()) or "classes" in spec.settings
    return "counts: as published" if published else "counts: no published numbers to compare with"


def _replaced(folder: Path, manifest: Path | None) -> Iterator[str]:
    """Says if images were replaced, which the workflow does not notice."""
    if manifest is None or not manifest.exists():
        return
    before = Manifest.load(manifest)
    if before.image_bytes not in ("", image_bytes(folder, before.splits)):
        yield (
            f"{PROBLEM}images were replaced by others of the same names, or are missing, since {manifest} was made;"
            " delete this file, and snakemake makes all results of the dataset again."
        )


def _without_images(listing: Listing, readable: set[str]) -> Iterator[str]:
    """Classes without a readable image."""
    seen = {item.label for items in listing.splits.values() for item in items if item.path in readable}
    empty = [cut(name) for label, name in enumerate(listing.classnames) if label not in seen]
    if empty:
        yield f"{PROBLEM}{counted(len(empty), 'class has', 'classes have')} no readable image: {listed(empty, 8)}"


def _unreadable(spec: DatasetSpec, bad: dict[str, str]) -> list[str]:
    if not bad:
        return ["unreadable images: none"]
    skipped = spec.settings.get("skip_unreadable")
    advice = "they are skipped (skip_unreadable)" if skipped else "replace them, or set `skip_unreadable: true`"
    mark = "note: " if skipped else PROBLEM
    number = counted(len(bad), "unreadable image", "unreadable images")
    return [f"{mark}{number}; {advice}", *(f"  {why}" for why in bad.values())]


def _leaks(spec: DatasetSpec, folder: Path, listing: Listing, paths: list[str]) -> Iterator[str]:
    """Images with the same content, which are leakage if they are in two splits, as is an image that is listed in two."""
    where = _splits_by_path(listing)
    groups = same_content(folder, paths)
    copied = {path for group in groups for path in group}
    groups += [[path] for path, splits in where.items() if len(splits) > 1 and path not in copied]
    across = [group for group in groups if len({split for path in group for split in where[path]}) > 1]
    within = len(groups) - len(across)
    if across:
        number = counted(len(across), "image occurs", "images occur")
        yield f"{PROBLEM}leakage: {number} with the same content in two splits{_remedy(spec)}:"
        for group in across:
            yield "  " + " = ".join(f"{path} ({', '.join(where[path])})" for path in group)
    else:
        yield "duplicates across splits: none"
    if within:
        yield f"note: {counted(within, 'image occurs', 'images occur')} more than once inside a split"


def _splits_by_path(listing: Listing) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for split in SPLITS:
        for path in dict.fromkeys(item.path for item in listing.splits.get(split, ())):
            found.setdefault(path, []).append(split)
    return found


def _remedy(spec: DatasetSpec) -> str:
    """What to do about leakage in a split that was drawn here."""
    split = spec.settings["reader"].get("split")
    if split is None:
        return ""
    if split.get("duplicates") != "together":
        return "; write `duplicates: together` under `reader: split:`, which keeps copies in one split"
    return "; they are in different classes, or their class has too few other images: remove the copies"


def _prompts(spec: DatasetSpec, listing: Listing, tokenize: Tokenize | None) -> Iterator[str]:
    prompts = [spec.template.format(spoken(name)) for name in listing.classnames]
    shown = [repr(cut(spec.template.format(spoken(cut(name))), PROMPT_LENGTH)) for name in listing.classnames]
    if tokenize is None:
        yield f"prompts: {listed(shown, EXAMPLES)}"
        return
    tokens = [list(tokenize(prompt[:LONGEST])) for prompt in prompts]
    lengths = [len(ids) for ids in tokens]
    longest = lengths.index(max(lengths))
    yield f"prompts: {min(lengths)} to {max(lengths)} tokens, start and end included; longest: {shown[longest]}"
    for prompt, ids in list(zip(shown, tokens, strict=True))[:EXAMPLES]:
        yield f"  {prompt}: {len(ids)} tokens {ids[:MOST_TOKENS]}"
