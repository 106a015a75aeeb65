"""The only miniature with real images: scikit-learn's handwritten digits (UCI, 1,797 images of 8 x 8 pixels)."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from cocoop.demo.drawing.canvas import SIZE

SOURCE = Path("datasets", "data", "digits.csv.gz")
INK_LEVELS = 16
SCALED = 52  # pixels: a margin of six on each side
SHARES = (0.5, 0.2)  # train, val (the rest is test): the CoOp authors' fractions without an official split (dtd.py)


def split(label: int, seed: int) -> dict[str, np.ndarray]:
    """All images of a digit, shuffled and split into train, val and test: uint8 (N, 64, 64) each."""
    images, labels = _source()
    own = np.random.default_rng([seed, label]).permutation(np.flatnonzero(labels == label))
    train, val = (round(share * len(own)) for share in SHARES)
    parts = zip(("train", "val", "test"), np.split(own, [train, train + val]), strict=True)
    return {name: np.stack([enlarged(images[index]) for index in indices]) for name, indices in parts}


@lru_cache(maxsize=1)
def _source() -> tuple[np.ndarray, np.ndarray]:
    """Images with ink 0..16, (1797, 8, 8), and labels (1797,)."""
    table = np.loadtxt(_installed() / SOURCE, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]


def _installed() -> Path:
    """The folder of scikit-learn. To import it, for `load_digits`, would take longer than all else here."""
    found = find_spec("sklearn")
    assert found and found.origin  # one of our dependencies
    return Path(found.origin).parent


def enlarged(image: np.ndarray) -> np.ndarray:
    """An 8 x 8 digit with ink 0..16, enlarged to white on black with bicubic interpolation: uint8 (64, 64)."""
    levels = Image.fromarray(np.round(image / INK_LEVELS * 255).astype(np.uint8))
    canvas = Image.new("L", (SIZE, SIZE), 0)
    margin = (SIZE - SCALED) // 2
    canvas.paste(levels.resize((SCALED, SCALED), Image.Resampling.BICUBIC), (margin, margin))
    return np.asarray(canvas)
