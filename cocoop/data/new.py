"""`dataset new`: a dataset's YAML from a folder of images, a table that lists them, or a CoOp split file."""

import re
from pathlib import Path

import yaml

from cocoop import io
from cocoop.config.specs import DatasetSpec
from cocoop.data import names, naming
from cocoop.data.images import has_transparency, open_on_white
from cocoop.data.layout import Draft, draft_of
from cocoop.data.names import Tokenize
from cocoop.data.observations import observations
from cocoop.data.prepare import listing_of
from cocoop.data.readers import Listing
from cocoop.data.readers.building import TooFew
from cocoop.data.verify import problems
from cocoop.errors import UserError, counted, cut, listed, shown
from cocoop.places import expanded

DATASETS = Path("config/datasets")
FRACTIONS = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1, "duplicates": "together"}
WITHOUT_VAL = FRACTIONS | {"val": 0.0, "test": 0.5}
HEAD = """\
# Written by `dataset new`. Look at the result with `python -m cocoop dataset check {name}`.
# `names` are the class names in prompts, in the order of the sorted classes: change them as you like, keep the order.
"""


def write_yaml(
    path: Path,
    name: str,
    template: str = "a photo of a {}.",
    title: str | None = None,
    folder: Path = DATASETS,
    tokenize: Tokenize | None = None,
) -> tuple[Path, list[str]]:
    """Writes `folder/name.yaml` for the dataset at `path`; returns its path and notes for the user.

    path: a folder with one folder per class; a folder with train, (val,) and test folders of this kind; a folder with a table
        of images; or a table.
    tokenize: see `observations`.
    Reads the dataset first and raises a UserError if that fails. The images are not moved; the data root gets a link to them.
    """
    path = expanded(path).absolute()
    out = Path(folder) / f"{naming.checked(name)}.yaml"
    if not re.fullmatch(r"[^{}]*\{\}[^{}]*", template):
        raise UserError(f"template {template!r}: expected exactly one {{}} for the class name.")
    if out.exists():
        raise UserError(f"{out}: already exists; use another --name, or delete it.")
    if not path.exists():
        raise UserError(f"{path}: no such file or folder.")
    draft = draft_of(path)
    home = path if path.is_dir() else path.parent
    content = {"title": title or name, "template": template, "link": str(home), "reader": draft.reader}
    spec = DatasetSpec(name, content)
    listing = _read(spec, home, draft)
    _name_classes(draft, listing)
    if tokenize and (problem := names.too_long(template, listing.classnames, tokenize)):
        draft.notes.append(problem)
        draft.reader["names"] = list(listing.classnames)
    content |= _transparency(draft, home, listing)
    head = HEAD if "names" in draft.reader else HEAD.splitlines(keepends=True)[0]
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    io.write_text(out, head.format(name=name) + text)
    return out, [*draft.notes, *listing.notes, *observations(listing, tokenize)]


def _transparency(draft: Draft, home: Path, listing: Listing) -> dict[str, str]:
    """The setting for images with transparency, with a note, if there are any."""
    paths = [item.path for items in listing.splits.values() for item in items if has_transparency(home / item.path)]
    if not paths:
        return {}
    number = counted(len(paths), "image", "images")
    draft.notes.append(
        f"{number} can be transparent, such as {paths[0]}: pasted onto white; delete `transparency: white` to drop transparency, "
        "as the authors' code does"
    )
    return {"transparency": "white"}


def _read(spec: DatasetSpec, home: Path, draft: Draft) -> Listing:
    """Reads the dataset; splits it by fractions if it has no split."""
    listing = _split(spec, home, draft)
    for problem in problems(spec, home, listing):
        raise UserError(f"{home}: {problem}")
    if len(listing.classnames) < 2:
        raise UserError(f"{home}: only one class, {shown(listing.classnames[0])}; a dataset needs two or more.")
    _refuse_unreadable(home, listing)
    return listing


def _refuse_unreadable(home: Path, listing: Listing) -> None:
    """Raises a UserError if a class has no readable image."""
    waiting = dict(enumerate(listing.classnames))
    reasons: dict[int, str] = {}
    for item in (item for items in listing.splits.values() for item in items):
        if item.label in waiting:
            try:
                open_on_white(home / item.path)
                del waiting[item.label]
            except UserError as error:
                reasons.setdefault(item.label, str(error))
    if waiting:
        number = counted(len(waiting), "class has", "classes have")
        shown = listed(map(cut, waiting.values()), 8)
        raise UserError(f"{home}: {number} no readable image: {shown}. First: {reasons[min(waiting)]}")


def _split(spec: DatasetSpec, home: Path, draft: Draft) -> Listing:
    if not draft.split:
        return listing_of(spec, home)
    try:
        draft.reader["split"] = dict(FRACTIONS)
        return listing_of(spec, home)
    except TooFew as error:
        draft.notes.append(f"split in halves, without val: {error}")
        draft.reader["split"] = dict(WITHOUT_VAL)
        return listing_of(spec, home)


def _name_classes(draft: Draft, listing: Listing) -> None:
    """Adds class names to the settings, where users can change them; known names replace ImageNet's synsets."""
    found = names.of_synsets(listing.classnames)
    if found:
        draft.notes.append(f"class names: those of ImageNet's synsets ({listing.classnames[0]} is {found[0]!r})")
        listing.classnames = tuple(found)
    if found or draft.reader["kind"] in ("image_folder", "folders") or names.codes(listing.classnames):
        draft.reader["names"] = list(listing.classnames)
