"""Few-shot draws as files that other code can read and write: JSON lines, one per image, and a small JSON file beside them."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from cocoop import io, splits
from cocoop.config.draw import Draw, shots_of, shots_text
from cocoop.errors import UserError, counted, cut, listed, shown
from cocoop.manifest import Manifest

KEYS = ("path", "label", "classname", "split")
TRUE_LABEL = "true_label"
DRAWN = ("train", "val")
KIND = "draw"


def file_of(folder: str | Path, dataset: str, shots: int, seed: int) -> Path:
    """The file of a draw: FOLDER/dataset/shots16_seed1.jsonl."""
    return Path(folder) / dataset / f"shots{shots_text(shots)}_seed{seed}.jsonl"


def beside(path: Path) -> Path:
    """The file that says what a draw is of; a draw of other origin may lack it."""
    return path.with_suffix(".json")


def write(
    path: Path, manifest: Manifest, selection: Mapping[str, Any], given: Draw = splits.AUTHORS, subset: str = "all"
) -> None:
    """Writes a selection with the labels that it is trained with, and the file beside it.

    given: with label noise, a line whose label is wrong also has the `true_label`.
    subset: the classes whose images are written.
    """
    inside = {label: at for at, label in enumerate(splits.class_subset(manifest.labels("train"), subset))}
    train = [(at, label) for at, label in zip(selection["train"], selection["labels"], strict=True) if label in inside]
    val = [(at, manifest.splits["val"][at].label) for at in selection["val"]]
    noisy = splits.noisy([inside[label] for _, label in train], len(inside), given, selection["seed"])
    names = list(inside)
    train = [(at, names[label]) for (at, _), label in zip(train, noisy, strict=True)]
    lines = [*_lines(manifest, "train", train), *_lines(manifest, "val", [one for one in val if one[1] in inside])]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    images = {split: Counter[str]() for split in DRAWN}
    for line in lines:
        images[line["split"]][manifest.classnames[line.get(TRUE_LABEL, line["label"])]] += 1
    io.write_text(path, text)
    about = {
        "schema": 1,
        "kind": KIND,
        "dataset": manifest.dataset,
        "shots": shots_text(selection["shots"]),
        "seed": selection["seed"],
    }
    about |= {"subset": subset, "draw": given.settings, "train_images": images["train"], "val_images": images["val"]}
    io.write_text(
        beside(path), json.dumps(about | {"sha256": io.sha256_text(text)}, ensure_ascii=False, indent=1) + "\n"
    )


def _lines(manifest: Manifest, split: str, drawn: Iterable[tuple[int, int]]) -> Iterator[dict[str, Any]]:
    """drawn: (position in the split, label) of each image."""
    for at, label in drawn:
        item = manifest.splits[split][at]
        line = {"path": item.path, "label": label, "classname": manifest.classnames[label], "split": split}
        yield line if label == item.label else line | {TRUE_LABEL: item.label}


def selection_from(path: Path, manifest: Manifest, shots: int, seed: int) -> dict[str, Any]:
    """The selection of a file, checked against the dataset, like `splits.selection_of`.

    Raises a UserError that names the first line that is wrong, or a class with a wrong number of images.
    """
    about = read_beside(path, manifest.dataset, shots, seed)
    text = _read(path)
    if about.get("sha256", digest(path)) != digest(path):
        raise UserError(
            f"{path}: was changed since {beside(path).name} was written (sha256 differs); delete that file to use it as it is."
        )
    reader = _Reader(path, manifest)
    for number, line in enumerate(text.split("\n"), 1):  # a class name may contain other line separators
        if line.strip():
            reader.read(number, line)
    subset = about.get("subset", "all")
    for split in DRAWN:
        reader.check_counts(split, shots, subset, about.get(f"{split}_images"))
    train, val = (reader.found[split] for split in DRAWN)
    drawn = splits.selection(manifest, shots, seed, train, val)
    return drawn | {"draw": {"files": [digest(path)]}, "subset": subset}


class _Reader:
    """Checks the lines of a file and collects (position in the manifest's split, label) by split."""

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path, self.manifest = path, manifest
        self.places: dict[str, dict[str, list[int]]] = {split: {} for split in manifest.splits}
        for split, items in manifest.splits.items():
            for at, item in enumerate(items):
                self.places[split].setdefault(item.path, []).append(at)
        self.found: dict[str, list[splits.Numbered]] = {split: [] for split in DRAWN}
        self.seen: dict[str, int] = {}
        self.images = {split: Counter[int]() for split in DRAWN}

    def read(self, number: int, line: str) -> None:
        where = f"{self.path}, line {number}"
        content = _parsed(line, where)
        path, label, split = content["path"], content["label"], content["split"]
        names = self.manifest.classnames
        if path not in self.places[split]:
            elsewhere = [other for other in self.places if path in self.places[other]]
            what = f"is in the {elsewhere[0]} split, not in {split}" if elsewhere else f"is no {split} image"
            raise UserError(f"{where}: {shown(path)} {what} of dataset {self.manifest.dataset!r}.")
        if not 0 <= label < len(names) or names[label] != content["classname"]:
            right = f"{shown(cut(names[label]))}" if 0 <= label < len(names) else f"none of the {len(names)} classes"
            raise UserError(
                f"{where}: label {label} is {right} in dataset {self.manifest.dataset!r}, not {shown(content['classname'])}."
            )
        if not self.places[split][path]:
            raise UserError(f"{where}: {shown(path)} is also in line {self.seen[path]}; an image can be drawn once.")
        at, self.seen[path] = self.places[split][path].pop(0), number
        true = self.manifest.splits[split][at].label
        if content.get(TRUE_LABEL, label) != true:
            raise UserError(
                f"{where}: {shown(path)} is of class {true} ({cut(names[true])}), not {content.get(TRUE_LABEL, label)};"
                f' a line with a wrong label on purpose says so with "{TRUE_LABEL}": {true}.'
            )
        self.found[split].append(splits.Numbered(at, label))
        self.images[split][true] += 1

    def check_counts(self, split: str, shots: int, subset: str, said: Mapping[str, int] | None) -> None:
        """Every class has as many images as the file beside says; or else `shots` of train and min(shots, 4) of val, or all that
        it has if these are fewer. A draw may lack validation images.
        """
        if split != "train" and not self.found[split]:
            return
        counts = self._as_drawn(split, shots, subset) if said is None else self._as_said(split, said)
        for name, number, wanted in counts:
            if number != wanted:
                has = counted(number, f"{split} image", f"{split} images")
                raise UserError(
                    f"{self.path}: class {shown(cut(name))} has {has}, expected {wanted} ({shots_text(shots)} shots); numbers "
                    f"that differ on purpose are listed as {split}_images in {beside(self.path).name}."
                )

    def _as_drawn(self, split: str, shots: int, subset: str) -> Iterator[tuple[str, int, int]]:
        """The name, the number of images and the expected number of each class."""
        there, inside = Counter(self.manifest.labels(split)), splits.class_subset(self.manifest.labels("train"), subset)
        most = min(shots, splits.MOST_VAL_SHOTS) if split == "val" else shots
        for label, name in enumerate(self.manifest.classnames):
            yield name, self.images[split][label], min(most, there[label]) * (label in inside)

    def _as_said(self, split: str, said: Mapping[str, int]) -> Iterator[tuple[str, int, int]]:
        """The same by name, as the file beside counts: classes of the same name together."""
        names, images = self.manifest.classnames, Counter[str]()
        for label, number in self.images[split].items():
            images[names[label]] += number
        for name in dict.fromkeys(names):
            yield name, images[name], said.get(name, 0)


def _parsed(line: str, where: str) -> dict[str, Any]:
    try:
        content = json.loads(line)
    except ValueError as error:
        raise UserError(f"{where}: not a JSON object ({error}).") from error
    types = {"path": str, "label": int, "classname": str, "split": str}
    if not isinstance(content, dict) or any(type(content.get(key)) is not kind for key, kind in types.items()):
        raise UserError(f"{where}: expected an object with {listed(KEYS)} (label: an integer, the others: text).")
    if content["split"] not in DRAWN:
        raise UserError(f"{where}: split: {shown(content['split'])} is not one of {listed(DRAWN)}.")
    return content


def read_beside(path: Path, dataset: str, shots: int, seed: int) -> dict[str, Any]:
    """What the file beside a draw says; empty without one. Raises a UserError if it is of another draw."""
    about = beside(path)
    if not about.exists():
        return {}
    try:
        content = json.loads(_read(about))
        said = content["dataset"], shots_of(content["shots"]), content["seed"]
        valid = content["kind"] == KIND and bool(splits.SUBSET.fullmatch(content.get("subset", "all")))
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{about}: not a description of a draw ({error}); delete it, or export the draw again."
        ) from error
    if not valid or said != (dataset, shots, seed):
        raise UserError(
            f"{about}: describes {said[0]}, {shots_text(said[1])} shots, seed {said[2]}, but {path.name} is to be "
            f"{dataset}, {shots_text(shots)} shots, seed {seed}."
        )
    return content


def digest(path: Path) -> str:
    """sha256 of the lines of a draw."""
    return io.sha256_text(_read(path))


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(
            f"{path}: no such file; `draws` names a folder with DATASET/shots16_seed1.jsonl for each dataset, number of shots "
            "and seed."
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error}).") from error
