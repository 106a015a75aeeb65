"""Pictures that are no files are checked as files are, and named in one line."""

import io

import numpy as np
import pytest
from PIL import Image

from cocoop.api import pictures
from cocoop.errors import UserError
from tests.api.conftest import line_of


def only_alpha() -> Image.Image:
    """A picture of one colour, whose shape is only in its transparency."""
    image = Image.new("RGBA", (16, 16), (0, 0, 0, 0))
    image.paste((0, 0, 0, 255), (4, 4, 12, 12))
    return image


def lazily_opened(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def encoded(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def noise() -> Image.Image:
    return Image.fromarray(np.random.RandomState(1).randint(0, 255, (32, 32, 3), np.uint8))


def closed() -> Image.Image:
    image = lazily_opened(encoded(noise()))
    image.close()
    return image


BAD = {
    "only alpha": (only_alpha, "all colours are the same, only the transparency differs"),
    "only alpha, as an array": (lambda: np.asarray(only_alpha()), "all colours are the same, only the transparency"),
    "truncated": (lambda: lazily_opened(encoded(noise())[:800]), "unreadable image (image file is truncated"),
    "closed": (closed, "unreadable image ("),
    "empty": (lambda: Image.new("RGB", (0, 8)), "0 x 8 pixels: the image is empty."),
    "deep": (lambda: Image.new("I", (8, 8)), "mode 'I' has more than 8 bits per value"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_picture_is_named_and_left_out(kind, prompt):
    make, message = BAD[kind]
    with pytest.raises(UserError) as error:
        prompt.predict([noise(), make()])
    assert line_of(error).startswith(f"picture 2: {message}")
    told: dict[int, str] = {}
    found = prompt.predict([noise(), make(), noise()], unreadable=lambda place, why: told.update({place: str(why)}))
    assert found.pictures == ("picture 1", "picture 3")
    assert list(told) == [1] and told[1].startswith(f"picture 2: {message}")


def test_files_and_pil_images_say_the_same(tmp_path):
    only_alpha().save(tmp_path / "a.png")
    [file] = pictures.listed(tmp_path / "a.png")
    [image] = pictures.listed(only_alpha())
    for picture in (file, image):
        with pytest.raises(UserError) as error:
            pictures.rgb(picture, False)
        assert line_of(error).startswith(f"{picture.name}: all colours are the same")
        pixels = np.asarray(pictures.rgb(picture, True))
        assert pixels.min() == 0 and pixels.max() == 255


def test_a_picture_that_begins_with_a_tilde_is_itself(prompt, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    noise().save("~mine.png")
    told: dict[int, str] = {}
    found = prompt.predict(["~gone.png", "~mine.png"], unreadable=lambda place, why: told.update({place: str(why)}))
    assert found.pictures == ("~mine.png",) and told == {0: "~gone.png: no such image."}
