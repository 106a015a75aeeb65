"""Figures and example images as data URIs, embedded in the page."""

import base64
import io as byte_io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from PIL import Image

from cocoop import io
from cocoop.config import Registry
from cocoop.data.images import reader_of
from cocoop.errors import UserError
from cocoop.manifest import Manifest
from cocoop.reporting.page.classes import Tally

THUMBNAIL_PIXELS = 56
EXAMPLES = 3


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a data URI; kind: for example image/png."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@lru_cache(maxsize=4096)
def thumbnail(path: Path, on_white: bool = False) -> str | None:
    """An image scaled to fit 56 x 56 pixels (small ones are enlarged without blur) as a data URI; None if it is unreadable."""
    try:
        image = reader_of(on_white)(path)
    except UserError:
        return None
    scale = THUMBNAIL_PIXELS / max(image.size)
    size = [max(1, round(side * scale)) for side in image.size]
    small = image.resize(size, Image.Resampling.NEAREST if scale > 1 else Image.Resampling.LANCZOS)
    buffer = byte_io.BytesIO()
    small.save(buffer, "JPEG", quality=80)
    return data_uri(buffer.getvalue(), "image/jpeg")


class Examples:
    """The test images of a dataset, by their position in its manifest."""

    def __init__(self, manifest: Manifest, data_root: Path | None) -> None:
        self.folder = data_root and data_root / Registry().dataset(manifest.dataset, "report").folder
        self.items = manifest.splits["test"] if self.folder else ()
        self.on_white = manifest.on_white

    def confused(self, tally: Tally, subset: str, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], list[str]]:
        """Pictures of the first images that the tally's job assigned to another class, by (true, predicted) label."""
        path = tally.job.folder / "predictions.safetensors"
        if not self.items or not pairs or not path.exists():
            return {}
        arrays, _ = io.read_arrays(path, "predictions")
        index, labels = arrays[f"{subset}.index"], arrays[f"{subset}.labels"]
        guesses = [array for name, array in sorted(arrays.items()) if name.endswith(f".{subset}.predicted")]
        found = {}
        for true, guess in pairs:
            confused = [
                place for predicted in guesses for place in index[(labels == true) & (predicted == guess)].tolist()
            ]
            places = list(dict.fromkeys(confused))[:EXAMPLES]
            pictures = [thumbnail(self.folder / self.items[place].path, self.on_white) for place in places]
            found[true, guess] = [picture for picture in pictures if picture]
        return found
