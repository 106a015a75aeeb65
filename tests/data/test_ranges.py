"""Pictures whose values are not 0..255: scaled by a rule that `dataset check` states, or refused by name."""

import json
import struct
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from cocoop import io
from cocoop.data.images import open_rgb
from cocoop.errors import UserError
from tests.faults.world import MODEL

RAMP = np.tile(np.linspace(0, 255, 16).astype(np.uint8), (4, 1))  # 0, 17, 34, ... 255
PER_CLASS = 10


def save(path, values, **tags):
    """A picture of one channel; tags: TIFF tags by number, as `t281=4095`."""
    directory = ImageFileDirectory_v2()
    for name, value in tags.items():
        directory.tagtype[int(name[1:])] = 3  # SHORT
        directory[int(name[1:])] = value
    Image.fromarray(values).save(path, **({"tiffinfo": directory} if tags else {}))


def save_colour(path, values):
    """A PNG of 16-bit RGB, which Pillow reads and does not write."""

    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    height, width = values.shape
    rows = b"".join(b"\0" + np.repeat(row, 3).astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)


def save_packed(path, values):
    """A TIFF of 12 bits a value, two values in three bytes, which Pillow reads and does not write."""
    content = bytearray()
    for first, second in values.reshape(-1, 2).tolist():
        content += bytes([first >> 4, (first & 15) << 4 | second >> 8, second & 255])
    height, width = values.shape
    fields = {256: width, 257: height, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: height, 279: len(content)}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(content)) + content + directory)


WIDE = RAMP.astype(np.uint16)
SCALED = {
    "floats 0..1": ("a.tif", (RAMP / 255).astype(np.float32), {}, RAMP),
    "floats 0..255": ("a.tif", RAMP.astype(np.float32), {}, RAMP),
    "floats 0..65535": ("a.tif", (RAMP * 257.0).astype(np.float32), {}, RAMP),
    "floats 0..0.02": ("a.tif", (RAMP / 255 / 51).astype(np.float32), {}, np.round(RAMP / 51)),
    "16 bits": ("a.png", WIDE * 257, {}, RAMP),
    "16 bits, TIFF": ("a.tif", WIDE * 257, {}, RAMP),
    "16 bits, PGM": ("a.pgm", WIDE * 257, {}, RAMP),
    "white is zero": ("a.tif", WIDE * 257, {"t262": 0}, 255 - RAMP),
    "MaxSampleValue 4095": ("a.tif", WIDE * 16, {"t281": 4095}, np.round(WIDE * 16.0 * 255 / 4095)),
    "WhiteLevel": ("a.tif", WIDE * 10, {"t50717": 2550}, RAMP),
    "WhiteLevel of a dark picture": ("a.tif", WIDE, {"t50717": 65535}, np.round(RAMP / 257)),
    "32 bits 0..255": ("a.tif", RAMP.astype(np.int32), {}, RAMP),
    "32 bits 0..65535": ("a.tif", RAMP.astype(np.int32) * 257, {}, RAMP),
    "black": ("a.png", WIDE * 0, {}, RAMP * 0),
    "white": ("a.png", WIDE * 0 + 65535, {}, RAMP * 0 + 255),
}
REFUSED = {
    "12 bits in 16": ("a.png", WIDE * 16, {}, "16-bit grey with a largest value of 4080, nearly black where 65535 is white"),
    "8 bits in 16": ("a.tif", WIDE, {}, "16-bit grey with a largest value of 255, nearly black where 65535 is white"),
    "a statistic": ("a.tif", WIDE * 11, {"t281": 2805}, "16-bit grey with a largest value of 2805, nearly black"),
    "above WhiteLevel": ("a.tif", WIDE * 16, {"t50717": 1023}, "16-bit grey with values from 0 to 4080, outside 0..1023"),
    "floats above 1": ("a.tif", (RAMP / 250).astype(np.float32), {}, "float grey with a largest value of 1.02, nearly black"),
    "floats below 0": ("a.tif", (RAMP / 127.5 - 1).astype(np.float32), {}, "float grey with values from -1 to 1, outside 0..1"),
    "large floats": ("a.tif", (RAMP * 1e6).astype(np.float32), {}, "float grey with values from 0 to 2.55e+08, outside 0..65535"),
    "NaN": ("a.tif", np.where(RAMP > 250, np.nan, RAMP / 255).astype(np.float32), {}, "float grey with NaN or infinite values"),
    "infinity": ("a.tif", np.where(RAMP > 250, np.inf, RAMP).astype(np.float32), {}, "float grey with NaN or infinite values"),
    "tiny floats": ("a.tif", (RAMP * 1e-6).astype(np.float32), {}, "values from 0 to 0.000255, which is one colour in 8 bits"),
    "32 bits": ("a.tif", RAMP.astype(np.int32) * 8_000_000, {}, "32-bit or signed grey with values from 0 to 2.04e+09, outside"),
    "12 bits in 32": ("a.tif", RAMP.astype(np.int32) * 16, {}, "32-bit or signed grey with a largest value of 4080, nearly"),
}  # fmt: skip


@pytest.mark.parametrize("case", SCALED)
def test_values_are_scaled_by_the_stated_rule(case, tmp_path):
    name, values, tags, expected = SCALED[case]
    save(tmp_path / name, values, **tags)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = np.asarray(open_rgb(tmp_path / name))
    assert found.shape == (4, 16, 3) and (found == np.asarray(expected, np.uint8)[..., None]).all()


@pytest.mark.parametrize("case", REFUSED)
def test_values_without_a_rule_are_refused_by_name(case, tmp_path):
    name, values, tags, told = REFUSED[case]
    save(tmp_path / name, values, **tags)
    with pytest.raises(UserError) as error:
        open_rgb(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ") and told in str(error.value)
    assert "save it as 8-bit RGB or grey, scaled as you want it to look" in str(error.value)


def test_packed_twelve_bit_values_are_scaled_by_their_white(tmp_path):
    save_packed(tmp_path / "a.tif", np.round(RAMP / 255 * 4095).astype(int))
    assert (np.asarray(open_rgb(tmp_path / "a.tif"))[..., 0] == RAMP).all()


def test_sixteen_bit_colour_keeps_its_high_byte_or_is_refused(tmp_path):
    save_colour(tmp_path / "a.png", WIDE * 257)
    assert (np.asarray(open_rgb(tmp_path / "a.png")) == RAMP[..., None]).all()
    save_colour(tmp_path / "a.png", WIDE * 16)
    with pytest.raises(
        UserError, match=r"a\.png: 16-bit colour with a largest value of 3855, nearly black where 65535"
    ):
        open_rgb(tmp_path / "a.png")


def test_float_colour_is_named_as_what_pillow_cannot_read(tmp_path):
    fields = {256: 1, 257: 1, 258: 32, 259: 1, 262: 2, 273: 8, 277: 3, 278: 1, 279: 12, 339: 3}
    entries = b"".join(struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in fields.items())
    directory = struct.pack("<H", len(fields)) + entries + struct.pack("<I", 0)
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 20) + bytes(12) + directory)
    with pytest.raises(UserError, match=r"a\.tif: unreadable image \(.*, or float colour and the like in TIFF\)"):
        open_rgb(tmp_path / "a.tif")


@pytest.mark.parametrize("mode", ["LA", "RGBA", "P"])
def test_a_picture_that_is_all_transparency_is_refused(mode, tmp_path):
    picture = Image.new("RGBA", (16, 4))
    picture.putalpha(Image.fromarray(RAMP))
    if mode == "P":
        _two_blacks().save(tmp_path / "logo.png", transparency=b"\x00\xff")
    else:
        picture.convert(mode).save(tmp_path / "logo.png")
    with pytest.raises(
        UserError, match=r"logo\.png: all colours are the same, only the transparency differs; paste it"
    ):
        open_rgb(tmp_path / "logo.png")


def _two_blacks():
    picture = Image.new("P", (2, 1))
    picture.putpalette([0, 0, 0, 0, 0, 0])
    picture.putdata([0, 1])
    return picture


@pytest.mark.parametrize("mode", ["1", "L", "LA", "PA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "LAB"])
def test_eight_bit_images_are_decoded_like_in_pillow(mode, tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 4), dtype=np.uint8)
    picture = Image.fromarray(colours)
    if mode == "LAB":
        picture = Image.frombytes("LAB", (8, 8), colours[..., :3].tobytes())
    elif mode == "PA":
        picture = picture.convert("RGB").convert("P").convert("PA")
    else:
        picture = (picture if mode in ("LA", "RGBA") else picture.convert("RGB")).convert(mode)
    picture.save(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as again:
        assert again.mode == mode
        assert open_rgb(tmp_path / "a.tif").tobytes() == again.convert("RGB").tobytes()


def pictures(folder, name, draw):
    """Two classes of PER_CLASS pictures each; draw(path, number) saves one."""
    for place, kind in enumerate(("cat", "dog")):
        (folder / kind).mkdir(parents=True)
        for number in range(PER_CLASS):
            draw(folder / kind / f"{number}{name}", place * PER_CLASS + number)
    return folder


CHECKED = {
    "floats": (".tif", lambda p, n: save(p, ((WIDE + n) / 300).astype(np.float32)), [
        "note: 20 images are float grey, 0..1 to 0..255; their largest value is 0.913333: cat/0.tif, cat/1.tif, cat/2.tif (+17",
    ]),
    "two float rules": (".tif", lambda p, n: save(p, ((WIDE + n) / (1.2 if n < 5 else 300)).astype(np.float32)), [
        "note: 15 images are float grey, 0..1 to 0..255; ",
        "note: 5 images are float grey, 0..255 to 0..255; ",
        "problem: images of float grey follow different rules (white is 1, 255), so their brightness cannot be compared",
    ]),
    "14 bits in 16": (".png", lambda p, n: save(p, WIDE * 64 + n), [
        "problem: 20 images are 16-bit grey, 0..65535 to 0..255; their largest value is 16339; less than half of white",
    ]),
    "12 bits in 16": (".png", lambda p, n: save(p, WIDE * (256 if n % PER_CLASS else 16) + n % 15), [
        "problem: 2 unreadable images; ", "16-bit grey with a largest value of 4080, nearly black where 65535 is white",
    ]),
    "masks": (".png", lambda p, n: save(p, (10 * n < RAMP).astype(np.uint8)), [
        "problem: 20 of 20 images are nearly black once decoded (no value above 15 of 255): cat/0.png",
    ]),
    "some blank": (".png", lambda p, n: save(p, RAMP * (n > 2) + np.uint8(n // 3)), [
        "note: 3 of 20 images are of one colour once decoded: cat/0.png, cat/1.png, cat/2.png",
    ]),
    "all blank": (".png", lambda p, n: save(p, RAMP * 0 + np.uint8(n + 100)), [
        "problem: 20 of 20 images are of one colour once decoded: ",
    ]),
    "transparent": (".png", lambda p, n: save(p, np.stack([RAMP + np.uint8(n), 255 - RAMP], -1)), [
        "note: 20 of 20 images are transparent, and pasted onto white",
    ]),
    "CMYK": (".jpg", lambda p, n: Image.fromarray(RAMP + np.uint8(n)).convert("CMYK").save(p), [
        "note: 20 of 20 images are CMYK, and become RGB without their colour profile",
    ]),
    "animated": (".gif", lambda p, n: Image.fromarray(RAMP).save(p, save_all=True, append_images=[Image.new("L", (16, 4), n)]), [
        "note: 20 of 20 images have several frames, of which the first is taken",
    ]),
    "turned": (".jpg", lambda p, n: Image.fromarray(RAMP + np.uint8(n)).save(p, exif=turned()), [
        "note: 20 of 20 images are turned by their EXIF orientation, which is ignored",
    ]),
}  # fmt: skip


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("case", CHECKED)
def test_check_reports_unexpected_image_properties(case, workplace, tmp_path):
    suffix, draw, told = CHECKED[case]
    lines = workplace.check(pictures(tmp_path / "pictures", suffix, draw))
    for words in told:
        assert [line for line in lines if words in line], (words, lines)


def test_check_has_no_remarks_on_ordinary_images(workplace, tmp_path):
    lines = workplace.check(pictures(tmp_path / "pictures", ".png", lambda path, n: save(path, RAMP + np.uint8(n))))
    assert "unreadable images: none" in lines
    remarks = [line for line in lines if line.startswith(("note:", "problem:"))]
    assert [line[:40] for line in remarks] == [  # of the classes, none of the images
        "note: with 2 classes each half (base and",
        "note: 2 classes have fewer than 16 train",
    ]


def test_features_stop_at_a_picture_without_a_rule(workplace, tmp_path):
    folder = pictures(tmp_path / "pictures", ".png", lambda path, n: save(path, WIDE * (256 if n % 2 else 16)))
    workplace.run("dataset", "new", folder, "--name", "mine")
    (tmp_path / "small.json").write_text(json.dumps(MODEL))
    settings = {"name": "mine", "settings": io.read_yaml(tmp_path / "config/datasets/mine.yaml")}
    for stage in ("download", "manifest"):
        code, printed = workplace.run(
            stage, "--dataset", json.dumps(settings), "--data-root", "data", "--out", tmp_path / f"{stage}.json"
        )
        assert code == 0, printed
    backbone = {"name": "small", "model": str(tmp_path / "small.json"), "pretrained": None, "precision": "fp32"}
    line = workplace.refused(
        *("features", "--backbone", json.dumps(backbone), "--manifest", tmp_path / "manifest.json"),
        *("--root", "data/mine", "--out", tmp_path / "features.safetensors", "--split", "train"),
    )
    assert "/cat/" in line and ".png: 16-bit grey with a largest value of 4080, nearly black" in line
