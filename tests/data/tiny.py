"""Small specs from the shipped YAML: the layout keys stay, sizes, checksums and sources are those of what was built."""

import hashlib
from collections.abc import Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.specs import DatasetSpec
from tests.data.builders import BUILDERS, SYNSETS, lay_out
from tests.data.server import FileServer

DATASETS = io.REPOSITORY / "config" / "datasets"
# Classes and images of train, val and test of what the builders make.
SIZES = {
    "imagenet": (4, 48, None, 12),
    "caltech101": (5, 30, 10, 20),
    "oxford_pets": (3, 18, 6, 12),
    "stanford_cars": (3, 26, 4, 6),
    "flowers102": (3, 18, 6, 12),
    "food101": (3, 18, 6, 12),
    "fgvc_aircraft": (3, 12, 9, 9),
    "sun397": (3, 18, 6, 12),
    "dtd": (3, 18, 6, 12),
    "eurosat": (10, 60, 20, 40),
    "ucf101": (3, 18, 6, 12),
    "imagenetv2": (12, None, None, 24),
    "imagenet_sketch": (4, None, None, 48),
    "imagenet_a": (3, None, None, 36),
    "imagenet_r": (3, None, None, 36),
}
# By the reference's rule from annotations, where that gives other numbers than the small split file.
FALLBACK_SIZES = {
    "oxford_pets": (3, 24, 6, 6),
    "stanford_cars": (3, 24, 6, 6),
    "sun397": (3, 24, 6, 6),
    "ucf101": (3, 24, 6, 6),
}


def apart_from_size(notes: Iterable[str]) -> tuple[str, ...]:
    """The notes without those that every miniature gets: halves of one class, classes with few images."""
    return tuple(note for note in notes if "by definition" not in note and "fewer than 16" not in note)


def shipped(name: str) -> dict[str, Any]:
    """The content of a shipped dataset file."""
    return io.read_yaml(DATASETS / f"{name}.yaml")


def resized(settings: dict[str, Any], sizes: tuple[int, int | None, int | None, int]) -> dict[str, Any]:
    """The settings with the numbers of what was built."""
    classes, train, val, test = sizes
    return settings | {"classes": classes, "sizes": {"train": train, "val": val, "test": test}}


def tiny_spec(name: str, server: FileServer, data_root: Path) -> DatasetSpec:
    """Builds a dataset, serves its files (or lays out ImageNet as a user's own copy), and gives the spec that gets it."""
    settings = resized(deepcopy(shipped(name)), SIZES[name])
    settings.pop("class_list_sha256", None)
    settings.pop("mirror", None)
    settings["reader"].pop("content_sha256", None)
    settings["reader"].pop("sha256", None)
    files = BUILDERS[name]()
    if name == "imagenet":
        own = data_root.parent / "own-imagenet"
        lay_out(files, own)
        settings["link"] = {"images/train": str(own / "train"), "images/val": str(own / "val")}
    for file in settings.get("download", ()):
        content = files[file["file"]]
        file.pop("md5", None)
        file["sources"] = [server.put(f"/{name}/{file['file']}", content)]
        file["sha256"] = hashlib.sha256(content).hexdigest()
        file["bytes"] = len(content)
    if name == "imagenetv2":
        titles = [*SYNSETS.items(), *((f"n{number:08d}", f"class {number}") for number in range(8))]
        text = "".join(f"{synset} {title}\n" for synset, title in titles)
        lay_out({"classnames.txt": text.encode()}, data_root / "imagenet")  # a sibling's, as the shipped YAML says
    return DatasetSpec(name, settings)
