"""What is peculiar to pictures that people collect themselves: copies of one picture, and transparent icons."""

import io as buffer

import numpy as np
import pytest
from PIL import Image, ImageDraw

from cocoop.data.images import open_on_white, open_rgb
from cocoop.data.readers.building import by_fractions
from cocoop.manifest import Item
from tests.data.command_line import per_class

TOGETHER = "more than once with the same content; copies are kept in one split where their class has others"


def icon(number, kind="RGBA"):
    """A black disc on nothing; below the transparent pixels all is black, too."""
    image = Image.new("RGBA", (24, 24), (0, 0, 0, 0))
    ImageDraw.Draw(image).ellipse((4, 4, 12 + number, 12 + number), fill=(0, 0, 0, 255))
    out = buffer.BytesIO()
    (image.quantize(8) if kind == "P" else image.convert(kind)).save(out, "PNG")
    return out.getvalue()


def splits_of(manifest):
    return {item.path: split for split, items in manifest.splits.items() for item in items}


def test_copies_of_a_picture_are_never_trained_and_tested_on(own):
    own.lay_out(*per_class("cat", "dog"))
    for name in ("cat", "dog"):
        for number in range(5):
            (own.pictures / f"{name}/copy{number}.jpg").write_bytes(
                (own.pictures / f"{name}/{number}.jpg").read_bytes()
            )
    said = own.new()
    assert (
        f"note: 10 images occur {TOGETHER}" in said.out and own.settings["reader"]["split"]["duplicates"] == "together"
    )
    place = splits_of(own.manifest())
    assert set(place.values()) == {"train", "val", "test"}
    assert all(place[f"{name}/copy{n}.jpg"] == place[f"{name}/{n}.jpg"] for name in ("cat", "dog") for n in range(5))
    assert own.noted(TOGETHER)
    assert "leakage" not in own.check().out


def test_a_split_without_copies_is_that_of_the_authors_rule():
    items = [[Item(f"{label}/{n}.jpg", label) for n in range(10)] for label in range(2)]
    fractions = {"train": 0.5, "val": 0.2, "test": 0.3, "seed": 1}
    assert by_fractions(items, fractions, "ab", {}) == by_fractions(items, fractions, "ab")
    together = by_fractions(items, fractions, "ab", {f"0/{n}.jpg": "0/0.jpg" for n in (0, 1, 2)})
    parts = {
        part for part, found in together.items() for item in found if item.path in ("0/0.jpg", "0/1.jpg", "0/2.jpg")
    }
    assert len(parts) == 1
    assert sorted(item for part in together.values() for item in part) == sorted(item for one in items for item in one)


def test_leaks_of_an_older_file_are_named_with_the_remedy(own):
    own.lay_out(*per_class("cat", "dog"))
    for number in range(10):
        (own.pictures / f"cat/copy{number}.jpg").write_bytes((own.pictures / f"cat/{number}.jpg").read_bytes())
    own.new()
    own.yaml.write_text(own.yaml.read_text().replace(", duplicates: together", ""))
    own.stage()
    said = own.check()
    assert said.code == 2 and "in two splits; write `duplicates: together` under `reader: split:`" in said.out


@pytest.mark.parametrize("kind", ["RGBA", "LA", "P"])
def test_transparent_icons_are_black_on_white(kind, own):
    own.lay_out(*per_class("cat", "dog"))
    for number in range(10):
        (own.pictures / f"cat/{number}.png").write_bytes(icon(number, kind))
    said = own.new()
    assert "note: 10 images can be transparent, such as cat/" in said.out and own.settings["transparency"] == "white"
    assert own.manifest().on_white
    pixels = np.asarray(open_on_white(own.pictures / "cat/3.png"))
    assert pixels[0, 0].tolist() == [255] * 3 and pixels[8, 8].tolist() == [0] * 3
    assert "10 of 30 images are transparent, and pasted onto white" in own.check().out


def test_opaque_pictures_need_no_setting(own):
    own.lay_out(*per_class("cat", "dog"))
    assert "transparen" not in own.new().out and "transparency" not in own.settings
    manifest = own.manifest()
    assert not manifest.on_white and "on_white" not in (own.folder / "manifest.json").read_text()
    path = own.pictures / "cat/0.jpg"
    assert (np.asarray(open_on_white(path)) == np.asarray(open_rgb(path))).all()
