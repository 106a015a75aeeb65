"""The drawing primitives: what they promise about their output, and that only the generator decides it."""

import numpy as np
import pytest
from scipy.ndimage import label

from cocoop.demo.drawing import flags, glyphs, palette, photo, shapes, textures

SHAPE = (64, 64)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


ALL_MASKS = [
    *((shapes.mask, name) for name in shapes.NAMES),
    *((textures.mask, name) for name in textures.NAMES),
    *((glyphs.mask, name) for name in glyphs.GLYPHS),
    *((flags.mask, name) for name in flags.NAMES),
]


def test_masks_are_not_empty_and_depend_on_the_generator():
    for paint, name in ALL_MASKS:
        first = paint(name, generator(1))
        assert first.shape == SHAPE and first.dtype == np.float32, name
        assert first.min() >= 0 and first.max() == pytest.approx(1, abs=0.02), name
        assert name == "plain" or first.std() > 0.05, name
        assert np.array_equal(first, paint(name, generator(1))), name
        assert name == "plain" or not np.array_equal(first, paint(name, generator(2))), name


@pytest.mark.parametrize("paint, names", [(shapes.mask, shapes.NAMES), (glyphs.mask, glyphs.GLYPHS)])
def test_different_names_give_different_masks(paint, names):
    masks = [paint(name, generator(3)) for name in names]
    assert all(np.abs(a - b).mean() > 0.003 for i, a in enumerate(masks) for b in masks[:i])


@pytest.mark.parametrize("count", list(shapes.COUNTS))
def test_count_masks_show_as_many_separate_shapes(count):
    for seed in range(10):
        assert label(shapes.count_mask("circle", count, generator(seed)) > 0.5)[1] == count


def test_a_contour_is_hollow_and_inside_its_shape():
    for name in ("square", "circle", "heart"):
        contour, inside = shapes.contour_and_inside(name, generator(4))
        assert (contour <= inside + 1e-6).all()
        assert 0 < contour.sum() < 0.8 * inside.sum()
        assert np.array_equal(contour, shapes.mask(name, generator(4), contour=True))
        assert np.array_equal(inside, shapes.mask(name, generator(4)))


def test_letters_of_other_fonts_are_other_pictures():
    assert not set(glyphs.PRETRAINING_FONTS) & set(glyphs.OTHER_FONTS)
    usual = glyphs.mask("R", generator(5), glyphs.PRETRAINING_FONTS)
    assert not np.array_equal(usual, glyphs.mask("R", generator(5), glyphs.OTHER_FONTS))


def test_partner_colours_are_clearly_different():
    inks = generator(6).uniform(0, 1, (500, 3)).astype(np.float32)
    grounds = palette.away_from(inks, generator(7))
    assert np.linalg.norm(inks - grounds, axis=1).min() >= palette.NEAREST_APART


def test_composition_uses_the_foreground_inside_the_mask():
    mask = np.zeros((1, *SHAPE), dtype=np.float32)
    mask[0, :32] = 1
    picture = photo.compose(mask, palette.rgb("red")[None], palette.rgb("blue")[None])
    assert np.allclose(picture[0, :32], palette.rgb("red")) and np.allclose(picture[0, 32:], palette.rgb("blue"))


def test_effects_do_what_their_names_say():
    pictures = generator(8).random((2, *SHAPE, 3), dtype=np.float32)
    assert np.array_equal(photo.false_colours(pictures, (0, 2, 1))[..., 1], pictures[..., 2])
    blurred = photo.blur(pictures, 1.5)
    assert blurred.std() < 0.3 * pictures.std() and blurred.mean() == pytest.approx(pictures.mean(), abs=0.01)
    assert photo.contrast(pictures, 0.5).std() == pytest.approx(0.5 * pictures.std(), rel=1e-3)
    assert np.allclose(photo.cast(pictures, (1, 0.5, 0)), pictures * [1, 0.5, 0])
    assert (photo.noise(pictures, 0.1, generator(9)) - pictures).std() == pytest.approx(0.1, rel=0.05)
    assert photo.edges(np.full_like(pictures, 0.3)).max() < 1e-4
    assert photo.to_bytes(np.float32([[[[-1, 0.5, 2]]]])).tolist() == [[[[0, 128, 255]]]]


def test_lighting_is_smooth_and_bounded():
    light = photo.lighting(20, generator(10))
    assert light.shape == (20, *SHAPE, 3) and light.dtype == np.float32
    assert -1 <= light.min() < -0.5 < 0.5 < light.max() <= 1
    assert np.abs(np.diff(light, axis=1)).max() < 0.12
