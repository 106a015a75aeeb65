"""A contact sheet with samples of each class, which shows at a glance whether images have the right labels."""

import io as buffer
from collections import defaultdict
from collections.abc import Collection
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

from cocoop import fonts, io
from cocoop.data.images import reader_of
from cocoop.data.readers import Listing
from cocoop.errors import UserError
from cocoop.manifest import SPLITS

MOST_CLASSES = 24
SAMPLES = 8
THUMBNAIL = 96  # pixels
NAME_WIDTH = 240  # pixels
GAP = 4  # pixels
TEXT_SIZE = 14  # pixels
MOST_LETTERS = 200  # a longer name is cut before it is measured


def draw_sheet(path: Path, folder: Path, listing: Listing, readable: Collection[str], on_white: bool = False) -> None:
    """Writes a PNG with a row for each class (or evenly chosen classes, if there are many): its name and its first images."""
    if Path(path).suffix.lower() != ".png":
        raise UserError(f"{path}: a contact sheet is a PNG file; give it a name that ends in .png.")
    samples: defaultdict[int, list[str]] = defaultdict(list)
    for split in SPLITS:
        for item in listing.splits.get(split, ()):
            if len(samples[item.label]) < SAMPLES and item.path in readable:
                samples[item.label].append(item.path)
    labels = _spread(len(listing.classnames))
    step = THUMBNAIL + GAP
    sheet = Image.new("RGB", (NAME_WIDTH + SAMPLES * step, len(labels) * step + GAP), "white")
    draw = ImageDraw.Draw(sheet)
    names = fonts.readable([f"{label} {listing.classnames[label]}" for label in labels])
    for row, (label, name) in enumerate(zip(labels, names, strict=True)):
        top = GAP + row * step
        font = fonts.font_for(name, TEXT_SIZE)
        draw.text((GAP * 2, top + THUMBNAIL // 2), _fitting(name, font), "black", font, "lm")
        for column, image in enumerate(samples[label]):
            thumbnail = ImageOps.pad(reader_of(on_white)(folder / image), (THUMBNAIL, THUMBNAIL), color="white")
            sheet.paste(thumbnail, (NAME_WIDTH + column * step, top))
    content = buffer.BytesIO()
    sheet.save(content, "PNG")
    io.write_bytes(path, content.getvalue())


def _fitting(name: str, font: ImageFont.FreeTypeFont) -> str:
    """A name, shortened to the width of the names' column."""
    cut = name[:MOST_LETTERS]
    while font.getlength(cut if cut == name else f"{cut}...") > NAME_WIDTH - 3 * GAP:
        cut = cut[:-1]
    return cut if cut == name else f"{cut}..."


def _spread(classes: int) -> list[int]:
    """At most MOST_CLASSES evenly spaced labels."""
    shown = min(classes, MOST_CLASSES)
    return [row * classes // shown for row in range(shown)]
