"""Checks that the miniature datasets are useful: zero-shot accuracy on base and new classes, and headroom of a linear probe.

    python benchmarks/miniatures.py [--weights FILE] [--seed 0] [NAME ...]

Prints a Markdown table. It does not run any prompt learning method, because only this table decides which datasets to use.
"""

import argparse
import json
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import open_clip
import torch
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from open_clip.model import CLIP
from PIL import Image
from sklearn.linear_model import LogisticRegression
from torch.nn.functional import normalize

from cocoop.backbone import tiny
from cocoop.demo.miniatures import MINIATURES, draw

SHOTS = 16
PROBE_STRENGTHS = (1, 10, 100)  # inverse L2 penalties; the probe uses the best one on the validation images


class Split(NamedTuple):
    """Unit-length features (N, E) and labels (N,)."""

    features: np.ndarray
    labels: np.ndarray

    def of(self, labels: Sequence[int], shots: int | None = None) -> "Split":
        """The images with these labels, at most `shots` per label."""
        chosen = np.concatenate([np.flatnonzero(self.labels == label)[:shots] for label in labels])
        return Split(self.features[chosen], self.labels[chosen])


def load(weights: Path) -> CLIP:
    """The bundled model in evaluation mode."""
    open_clip.add_model_config(tiny.CONFIG)
    model = open_clip.create_model(tiny.NAME)
    model.load_state_dict(tiny.expand(weights))
    return model.eval()


@torch.no_grad()
def encode_split(model: CLIP, folder: Path, entries: Sequence[tuple[str, int, str]]) -> Split:
    """Image features of one split of a drawn dataset."""
    pixels = np.stack([np.asarray(Image.open(folder / "images" / path).convert("RGB")) for path, _, _ in entries])
    images = (torch.from_numpy(pixels) / 255 - torch.tensor(OPENAI_DATASET_MEAN)) / torch.tensor(OPENAI_DATASET_STD)
    features = torch.cat([model.encode_image(part) for part in images.permute(0, 3, 1, 2).split(256)])
    return Split(normalize(features, dim=-1).numpy(), np.array([label for _, label, _ in entries]))


@torch.no_grad()
def encode_names(model: CLIP, name: str) -> np.ndarray:
    """Text features (C, E) of the hand-crafted prompts."""
    miniature = MINIATURES[name]
    prompts = [miniature.template.format(classname) for classname in miniature.classes]
    return normalize(model.encode_text(open_clip.get_tokenizer(tiny.NAME)(prompts)), dim=-1).numpy()


def zero_shot(test: Split, texts: np.ndarray, labels: Sequence[int]) -> float:
    """Zero-shot accuracy on these classes."""
    part = test.of(labels)
    return float((np.array(labels)[(part.features @ texts[labels].T).argmax(1)] == part.labels).mean())


def linear_probe(train: Split, val: Split, test: Split, labels: Sequence[int]) -> float:
    """Test accuracy of a logistic regression on 16 images per class, with the penalty chosen on the validation images."""
    few, val, test = train.of(labels, SHOTS), val.of(labels), test.of(labels)
    probes = [LogisticRegression(C=strength, max_iter=2000).fit(*few) for strength in PROBE_STRENGTHS]
    return float(max(probes, key=lambda probe: probe.score(*val)).score(*test))


def measure(model: CLIP, name: str, seed: int) -> str:
    """One row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / name
        started = time.process_time()
        draw(name, folder, seed)
        seconds = time.process_time() - started
        listing = json.loads((folder / "split.json").read_text(encoding="utf-8"))
        train, val, test = (encode_split(model, folder, listing[split]) for split in ("train", "val", "test"))
    texts = encode_names(model, name)
    labels = list(range(len(texts)))
    half = math.ceil(len(labels) / 2)
    cells = [1 / half, zero_shot(test, texts, labels[:half]), zero_shot(test, texts, labels[half:])]
    cells += [linear_probe(train, val, test, labels[:half]), linear_probe(train, val, test, labels[half:])]
    return f"| {name} | {len(labels)} | " + " | ".join(f"{100 * cell:.0f}" for cell in cells) + f" | {seconds:.1f} |"


def main() -> None:
    """Measures the datasets given on the command line, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of {', '.join(MINIATURES)} (default: all)")
    parser.add_argument("--weights", type=Path, default=tiny.WEIGHTS)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    model = load(arguments.weights)
    print(
        "| dataset | classes | chance | zero-shot base | zero-shot new | probe base | probe new | CPU seconds to draw |"
    )
    print("|-|-|-|-|-|-|-|-|")
    for name in arguments.names or MINIATURES:
        print(measure(model, name, arguments.seed), flush=True)


if __name__ == "__main__":
    main()
