"""ImageNet and its variants V2, Sketch, A and R: folders named by synset, or by label (datasets/imagenet.py, imagenet_*.py)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cocoop.data.readers.base import Listing, class_folders, whole_number
from cocoop.data.readers.image_folder import items_of, left_out
from cocoop.data.readers.imagenet_names import ImageNetNames
from cocoop.errors import UserError, listed

MACHINE_ORDER = (
    "the reference draws from an unsorted directory listing on the authors' machine, so few-shot draws on ImageNet cannot"
    " match theirs; here files are sorted"
)


def read(settings: Mapping[str, Any], folder: Path) -> Listing:
    """Settings: `train`, `test`: folders of class folders, `train` only for ImageNet. `classnames`: files "<synset> <name>".

    `folders`: "synsets" (a label is the rank of the folder) or "numbers" (ImageNetV2: the folder is the label).
    The reference validates on the complete test list and draws nothing from it, so val is empty.
    """
    names = ImageNetNames.find([folder / name for name in settings.get("classnames", ())])
    tests = folder / settings["test"]
    classes = class_folders(tests)
    if settings.get("folders") == "numbers":
        classes, titles = _numbered(tests, classes, names)
    else:
        titles = [names.of(synset, tests) for synset in classes]
    splits, notes = {}, [names.origin]
    parts = {"train": settings.get("train"), "test": settings["test"]}
    for split, part in parts.items():
        if not part:
            continue
        _same_classes(folder / part, tests, classes)
        items, strangers = items_of(folder, part, classes)
        splits[split] = [item for group in items for item in group]
        notes += left_out(strangers)
    if parts["train"]:
        notes.append(MACHINE_ORDER)
    return Listing(tuple(titles), splits, notes)


def _numbered(tests: Path, folders: list[str], names: ImageNetNames) -> tuple[list[str], list[str]]:
    numbers = sorted((name for name in folders if whole_number(name) is not None), key=int)
    expected = [str(label) for label in range(len(names.names))]
    if numbers != expected:
        absent = [number for number in expected if number not in numbers]
        extra = [number for number in numbers if number not in expected]
        wrong = {"missing": absent, "not expected": extra}
        parts = [f"{what}: {listed(folders)}" for what, folders in wrong.items() if folders]
        raise UserError(f"{tests}: expected the folders 0 to {len(expected) - 1}; {'; '.join(parts)}.")
    return numbers, list(names.names)


def _same_classes(folder: Path, tests: Path, classes: list[str]) -> None:
    """Checks for equal classes: the reference ranks train and val folders separately, so a missing folder would shift labels."""
    present = set(class_folders(folder))
    absent = [name for name in classes if name not in present]
    extra = sorted(present - set(classes)) if folder != tests and not absent else []
    if absent:
        raise UserError(f"{folder}: {len(absent)} class folders of {tests} are missing: {listed(absent)}.")
    if extra:
        raise UserError(f"{tests}: {len(extra)} class folders of {folder} are missing: {listed(extra)}.")
