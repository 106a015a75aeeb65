"""Writes a miniature dataset to disk: completely or not at all, with the same bytes for the same seed."""

import io as buffer
import json
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from cocoop import io, progress
from cocoop.demo.drawing import photo
from cocoop.demo.miniatures import digits
from cocoop.demo.miniatures.catalogue import MINIATURES
from cocoop.errors import UserError, unknown
from cocoop.manifest import SPLITS

SIZES = {"train": 32, "val": 8, "test": 40}  # images per class
SPLIT_FILE = "split.json"
PNG_COMPRESSION = 1  # fast; the files are small


class Group(NamedTuple):
    """The images of one class in one split: uint8 (N, 64, 64, 3), or (N, 64, 64) when grey."""

    split: str
    label: int
    pixels: np.ndarray


def draw(name: str, out_dir: str | Path, seed: int = 0) -> None:
    """Writes `images/<class>/<split>_NNN.png` (64 x 64) and `split.json` to out_dir.

    The folder appears when it is complete; it replaces an earlier drawing. Raises a UserError for an unknown name, a negative
    seed or a folder with other content.
    """
    out = Path(out_dir)
    _check(name, out, seed)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{out.name}.", suffix=".partial", dir=out.parent) as holder:
            drawn, discarded = Path(holder) / "drawn", Path(holder) / "discarded"
            drawn.mkdir()
            _write(name, drawn, seed)
            if out.exists():
                out.rename(discarded)
            drawn.rename(out)
    except OSError as error:
        raise io.cannot_write(Path(error.filename or out), error) from error


def groups(name: str, seed: int = 0, sizes: dict[str, int] | None = None) -> Iterator[Group]:
    """Yields the images by class and split. Each group has a separate generator, so groups do not depend on each other.

    sizes: images per class and split of a drawn dataset (default: 32, 8 and 40); the digits have a fixed size.
    """
    miniature = MINIATURES[name]
    for label, classname in enumerate(miniature.classes):
        if miniature.paint is None:
            yield from (Group(split, label, pixels) for split, pixels in digits.split(label, seed).items())
            continue
        for place, (split, number) in enumerate((sizes or SIZES).items()):
            rng = np.random.default_rng([seed, zlib.crc32(name.encode()), label, place])
            yield Group(split, label, photo.to_bytes(miniature.paint(classname, number, rng)))


def _write(name: str, folder: Path, seed: int) -> None:
    names = MINIATURES[name].classes
    listing: dict[str, list[list[object]]] = {split: [] for split in SPLITS}
    total = len(names) * len(SPLITS)
    for group in progress.track(groups(name, seed), f"draw {name}", "group", total):
        class_folder = names[group.label].replace(" ", "_")
        (folder / "images" / class_folder).mkdir(parents=True, exist_ok=True)
        for number, pixels in enumerate(group.pixels):
            path = f"{class_folder}/{group.split}_{number:03d}.png"
            _save(folder / "images" / path, pixels)
            listing[group.split].append([path, group.label, names[group.label]])
    io.write_text(folder / SPLIT_FILE, json.dumps(listing, indent=1) + "\n")


def _save(path: Path, pixels: np.ndarray) -> None:
    content = buffer.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG", compress_level=PNG_COMPRESSION)
    with io.writing(path, len(content.getvalue())):
        path.write_bytes(content.getvalue())


def _check(name: str, out: Path, seed: int) -> None:
    if name not in MINIATURES:
        raise unknown("miniature dataset", name, MINIATURES, "miniature")
    if seed < 0:
        raise UserError(f"miniature {name!r}: seed: expected 0 or more, got {seed}.")
    if out.exists() and not out.is_dir():
        raise UserError(f"{out}: is a file; miniature {name!r} needs a folder.")
    if out.is_dir() and any(out.iterdir()) and not (out / SPLIT_FILE).is_file():
        raise UserError(f"{out}: contains other files; use a new or empty folder for miniature {name!r}.")
