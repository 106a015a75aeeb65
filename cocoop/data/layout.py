"""Recognises the layout of a dataset for `dataset new`: folders for train and test, a table, or a folder per class."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cocoop.data import columns
from cocoop.data.images import EXTENSIONS, is_image
from cocoop.data.readers import table
from cocoop.data.readers.base import SPLIT_NAMES, images_below
from cocoop.errors import UserError, counted, listed


@dataclass
class Draft:
    """Settings of a reader, with notes for the user. split: whether fractions must be added."""

    reader: dict[str, Any]
    split: bool
    notes: list[str] = field(default_factory=list)


def draft_of(path: Path) -> Draft:
    """The reader for a folder or a table. Raises a UserError with its contents if it is not a dataset."""
    if path.is_file():
        if path.suffix.lower() not in table.SUFFIXES:
            raise UserError(f"{path}: expected a folder or a table ({listed(table.SUFFIXES)}); save it as CSV.")
        return _table(path)
    if not path.is_dir():
        raise UserError(f"{path}: neither a folder nor a regular file.")
    place = _inner(path)
    return _split_folders(place) or _listed(place) or _class_folders(place)


@dataclass
class Place:
    """A folder with its tables, its images, and the images in each of its visible subfolders."""

    path: Path
    home: Path
    tables: list[Path]
    images: list[str]
    below: dict[str, list[str]]
    others: dict[str, int]  # files that are not images

    @classmethod
    def of(cls, path: Path, home: Path) -> "Place":
        entries = sorted((entry for entry in os.scandir(path) if not entry.name.startswith(".")), key=lambda e: e.name)
        folders = [entry.name for entry in entries if entry.is_dir() and not is_image(entry.name)]
        tables = [Path(entry) for entry in entries if _is_table(entry)]
        images = [entry.name for entry in entries if is_image(entry.name)]
        found = {name: images_below(path / name) for name in folders}
        below = {name: inside for name, (inside, _) in found.items()}
        return cls(path, home, tables, images, below, {name: len(others) for name, (_, others) in found.items()})

    @property
    def full(self) -> list[str]:
        """The folders with images."""
        return [name for name, images in self.below.items() if images]

    def inside(self, name: str = "") -> str:
        """A folder's path relative to the dataset's folder."""
        return (self.path / name).relative_to(self.home).as_posix()

    def rest(self, *used: str) -> list[str]:
        """Notes on everything that is in no split: folders, single images, tables."""
        folders = [
            f"{name} ({counted(len(images), 'image', 'images')}, {counted(self.others[name], 'other file', 'other files')})"
            for name, images in self.below.items()
            if name not in used
        ]
        found = [f"left out: {counted(len(folders), 'folder', 'folders')}: {listed(folders, 5)}"] if folders else []
        if self.images:
            number = counted(len(self.images), "image", "images")
            found.append(f"left out: {number} beside the folders: {listed(self.images, 3)}")
        if self.tables:
            found.append(f"left out: {listed(path.name for path in self.tables)} (the folders say which image is what)")
        return found


def _is_table(entry: os.DirEntry) -> bool:
    return Path(entry).suffix.lower() in table.SUFFIXES and not entry.is_dir()


def _inner(path: Path) -> Place:
    """The folder, or its only subfolder if it contains nothing else and that subfolder contains folders."""
    place = Place.of(path, path)
    while len(place.full) == 1 and not place.images and not place.tables:
        (only,) = place.full
        inner = Place.of(place.path / only, path)
        if inner.images or not inner.full:
            break
        place = inner
    return place


def _split_folders(place: Place) -> Draft | None:
    """Folders for train and test (or val) that contain class folders."""
    parts = {
        split: next((name for name in place.full if name.lower() in usual and _has_folders(place, name)), None)
        for split, usual in SPLIT_NAMES.items()
    }
    train, test = parts["train"], parts["test"] or parts["val"]
    if train is None or (test is None and not _is_lone_train(place, train)):
        return None
    used = [name for name in parts.values() if name]
    notes = place.rest(*used)
    if test is None:
        _refuse_classes_beside(place, train)
        notes.insert(0, f"no test folder with class folders: {train} is split into train, val, and test")
        return Draft({"kind": "image_folder", "images": place.inside(train)}, True, notes)
    if parts["test"] is None:
        parts = {"train": train, "test": test}
    return Draft(
        {"kind": "folders", **{split: place.inside(name) for split, name in parts.items() if name}}, False, notes
    )


def _has_folders(place: Place, name: str) -> bool:
    return any("/" in image for image in place.below[name])


def _is_lone_train(place: Place, train: str) -> bool:
    """Whether the folders next to a train folder are not classes, so that the classes are inside the train folder."""
    return all(name == train or not _has_folders(place, name) for name in place.full) and not place.tables


def _refuse_classes_beside(place: Place, train: str) -> None:
    """Raises a UserError if folders of images next to a lone train folder may be classes, and it one of them."""
    usual = {name for names in SPLIT_NAMES.values() for name in names}
    beside = [name for name in place.full if name != train and name.lower() not in usual]
    if beside:
        raise UserError(
            f"{place.path}: cannot tell whether {train} holds the training images, or is a class like {listed(beside, 4)}."
            f" If it holds them, give {place.path / train}; if it is a class, move the images in its folders up into it."
        )


def _listed(place: Place) -> Draft | None:
    """A table that lists images; a note mentions other tables, which are not used."""
    found, reasons = {}, {}
    for path in place.tables:
        try:
            found[path] = _table(path)
        except columns.Ambiguous:
            raise
        except UserError as error:
            reasons[path] = error
    if len(found) > 1:
        raise UserError(
            f"{place.path}: several lists of images: {listed(path.name for path in found)}; join them into one with a column"
            " 'split' (train, val, test), or name one: `dataset new PATH/NAME.csv`."
        )
    if not found:
        if reasons and len(place.full) < 2:
            raise next(iter(reasons.values()))
        return None
    (draft,) = found.values()
    draft.notes += [f"left out: {other.name}, which does not list images and their classes" for other in reasons]
    return draft


def _table(path: Path) -> Draft:
    """The reader of a CoOp split file or of a list of images."""
    if path.suffix.lower() == ".json":
        try:
            content = table.json_content(path)
        except UserError:
            content = None  # perhaps JSON lines
        if isinstance(content, dict) and {"train", "val", "test"} <= set(content):
            return Draft({"kind": "coop_split", "file": path.name}, False)
    reader, has_split = columns.settings_of(path)
    return Draft(reader, not has_split)


def _class_folders(place: Place) -> Draft:
    classes = place.full
    if len(classes) < 2:
        raise UserError(f"{place.path}: {_no_classes(place)}")
    _refuse_nested(place, classes)
    reader: dict[str, Any] = {"kind": "image_folder"}
    notes = place.rest(*classes)
    if place.inside() != ".":
        reader["images"] = place.inside()
        notes.insert(0, f"the classes are the folders in {place.inside()}")
    ignored = [name for name in place.below if name not in classes]
    return Draft(reader | ({"ignore": ignored} if ignored else {}), True, notes)


def _no_classes(place: Place) -> str:
    """The reason why a folder with fewer than two class folders is not a dataset."""
    if place.full:
        (name,) = place.full
        number = counted(len(place.below[name]), "image", "images")
        return (
            f"only one class folder with images, {name} ({number}); a dataset needs two or more: put the images of each class"
            " into a separate folder, or list them in a CSV with the columns path and class."
        )
    if place.images:
        return (
            f"{counted(len(place.images), 'image', 'images')} but no class folders: move each image into the folder of its"
            " class, or list them in a CSV with the columns path and class."
        )
    if others := sum(place.others.values()):
        folders = listed((name for name, count in place.others.items() if count), 4)
        return (
            f"no images: {counted(others, 'file', 'files')} in {folders}, none of a kind that can be read"
            f" ({listed(sorted(EXTENSIONS))}); convert them to JPEG or PNG."
        )
    names = sorted(entry.name for entry in os.scandir(place.path))
    found = listed(names, 8) if names else "nothing"
    return (
        "found neither class folders with images, nor train and test folders, nor a table of images"
        f" ({listed(table.SUFFIXES)}); it contains {found}."
    )


def _refuse_nested(place: Place, classes: Sequence[str]) -> None:
    """Raises a UserError if each folder contains only folders with different names, because either level may be the classes."""
    if any("/" not in image for name in classes for image in place.below[name]):
        return
    inner = [(name, sub) for name in classes for sub in sorted({image.split("/")[0] for image in place.below[name]})]
    names = [sub for _, sub in inner]
    if len(set(names)) == len(names) > len(classes):
        example = f"{classes[0]}/{place.below[classes[0]][0]}"
        raise UserError(
            f"{place.path}: its images lie {example.count('/')} folders deep ({example}), and class folders hold images"
            f" themselves. If {listed(names, 4)} are the classes, move these folders up into one folder; if"
            f" {listed(classes, 4)} are, move the images up into them."
        )
