"""Odd images become RGB as users expect, and broken ones are named."""

import io
import warnings

import numpy as np
import pytest
from PIL import Image

from cocoop.data import images
from cocoop.data.images import is_image, open_rgb
from cocoop.errors import UserError


def pixels(path):
    image = open_rgb(path)
    assert image.mode == "RGB"
    return np.asarray(image)


def test_greyscale_has_three_equal_channels(tmp_path):
    Image.fromarray(np.array([[0, 100], [200, 255]], np.uint8)).save(tmp_path / "grey.png")
    assert pixels(tmp_path / "grey.png").tolist() == [[[0] * 3, [100] * 3], [[200] * 3, [255] * 3]]


def test_one_bit(tmp_path):
    Image.fromarray(np.array([[0, 255]], np.uint8)).convert("1").save(tmp_path / "bits.png")
    assert pixels(tmp_path / "bits.png").tolist() == [[[0] * 3, [255] * 3]]


def test_cmyk_jpeg(tmp_path):
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "ink.jpg", quality=95)
    red, green, blue = pixels(tmp_path / "ink.jpg").mean((0, 1))
    assert red > 240 and green < 20 and blue < 20


@pytest.mark.filterwarnings("error")
def test_palette_with_transparency_keeps_its_colours(tmp_path):
    image = Image.new("P", (2, 1))
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putdata([0, 1])
    image.save(tmp_path / "palette.png", transparency=b"\x00\x80")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert pixels(tmp_path / "palette.png").tolist() == [[[255, 0, 0], [0, 0, 255]]]


def test_alpha_is_dropped_as_in_the_reference(tmp_path):
    Image.new("RGBA", (1, 1), (10, 20, 30, 0)).save(tmp_path / "alpha.png")
    assert pixels(tmp_path / "alpha.png").tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize("suffix", ["png", "tiff"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    Image.fromarray(np.array([[0, 255, 257 * 100, 65535]], np.uint16)).save(tmp_path / f"deep.{suffix}")
    assert pixels(tmp_path / f"deep.{suffix}")[0, :, 0].tolist() == [0, 1, 100, 255]


def test_exif_rotation_is_ignored_as_in_the_reference(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees
    Image.new("RGB", (20, 10)).save(tmp_path / "turned.jpg", exif=exif)
    assert open_rgb(tmp_path / "turned.jpg").size == (20, 10)


def test_first_frame_of_an_animation(tmp_path):
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    assert pixels(tmp_path / "moving.gif")[0, 0].tolist() == [255, 0, 0]


def test_upper_case_extension_and_unicode_name(tmp_path):
    path = tmp_path / "größe 熊 é.JPG"
    Image.new("RGB", (4, 4), "white").save(path, "JPEG")
    assert open_rgb(path).size == (4, 4)
    assert is_image(path.name) and is_image("a.JPEG") and not is_image(".hidden.jpg") and not is_image("Thumbs.db")


def test_an_image_above_pillows_size_limit_opens(tmp_path):
    Image.new("1", (16000, 12000)).save(tmp_path / "large.png")  # 192 million pixels; Pillow's error starts at 179
    assert open_rgb(tmp_path / "large.png").size == (16000, 12000)


def test_a_bomb_is_refused_before_decoding(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST_PIXELS", 99)
    Image.new("RGB", (10, 10)).save(tmp_path / "bomb.png")
    with pytest.raises(UserError, match=r"bomb\.png: 10 x 10 pixels is too large \(limit 99\); scale it down"):
        open_rgb(tmp_path / "bomb.png")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP"])
def test_truncated_file_is_named(tmp_path, kind):
    out = io.BytesIO()
    Image.fromarray(np.random.RandomState(0).randint(0, 255, (64, 64, 3)).astype(np.uint8)).save(out, kind)
    path = tmp_path / f"cut.{kind.lower()}"
    path.write_bytes(out.getvalue()[: len(out.getvalue()) // 2])
    with pytest.raises(
        UserError, match=rf"cut\.{kind.lower()}: unreadable image \(.+\); replace it, or remove it from the dataset"
    ):
        open_rgb(path)


def test_no_image_and_no_file(tmp_path):
    (tmp_path / "page.jpg").write_text("<html>")
    with pytest.raises(UserError, match=r"page\.jpg: unreadable image \(none of the formats BMP, .*, WEBP\)"):
        open_rgb(tmp_path / "page.jpg")
    with pytest.raises(UserError, match=r"gone\.jpg: no such image"):
        open_rgb(tmp_path / "gone.jpg")
    (tmp_path / "empty.png").touch()
    with pytest.raises(UserError, match=r"empty\.png: unreadable image"):
        open_rgb(tmp_path / "empty.png")
