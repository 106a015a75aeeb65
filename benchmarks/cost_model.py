"""What the paper's experiments cost: text and image passes from the protocol, hours from what `cocoop bench --json` measured here.

python -m cocoop bench --classes 100 --json bench.json
python benchmarks/cost_model.py bench.json
"""

import argparse
import json
import time
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
from tabulate import tabulate

from cocoop.clip.packing import Packing
from cocoop.clip.prompts import learnable
from cocoop.clip.tokenizer import byte_pair

LENGTH, CONTEXTS, WORDS, SHOTS, SEEDS = 77, 4, "a photo of a", 16, 3
COOP_BATCH, COCOOP_EPOCHS, COOP_EPOCHS, COOP_EPOCHS_IMAGENET = 32, 10, 200, 50
IMAGES = {"cpu": 16, "cuda": 256}  # batch of the image tower
TAIL = 4.2  # tokens of a class where its name is not known here: the mean of the datasets whose names are


@dataclass(frozen=True)
class Dataset:
    """Numbers of classes and test images; tails: distinct tail tokens of base, new and all classes, None where unknown.

    The tails were counted by `Packing` from the class names of the official split files.
    """

    classes: int
    images: int
    tails: tuple[int, int, int] | None = None

    @property
    def base(self) -> int:
        return (self.classes + 1) // 2

    def tokens(self, subset: int) -> float:
        """Of one context and the base (0), new (1) or all (2) classes, the context itself included."""
        counts = (self.base, self.classes - self.base, self.classes)
        return CONTEXTS + (self.tails[subset] if self.tails else TAIL * counts[subset])


def imagenet() -> Dataset:
    names = open_clip.IMAGENET_CLASSNAMES
    parts = (names[:500], names[500:], names)
    tails = [Packing(learnable(byte_pair(), LENGTH, part, CONTEXTS, WORDS)).tail_entries for part in parts]
    return Dataset(1000, 50_000, tuple(tails))


DATASETS = {
    "imagenet": imagenet(),
    "caltech101": Dataset(100, 2465, (168, 176, 344)),
    "oxford_pets": Dataset(37, 3669, (79, 73, 152)),
    "stanford_cars": Dataset(196, 8041, (556, 589, 1130)),
    "flowers102": Dataset(102, 2463, (237, 223, 458)),
    "food101": Dataset(101, 30_300),
    "fgvc_aircraft": Dataset(100, 3333),
    "sun397": Dataset(397, 19_850),
    "dtd": Dataset(47, 1692, (94, 92, 186)),
    "eurosat": Dataset(10, 8100, (23, 21, 44)),
    "ucf101": Dataset(101, 3783, (200, 198, 398)),
}
VARIANTS = {
    "imagenetv2": Dataset(1000, 10_000, DATASETS["imagenet"].tails),
    "imagenet_sketch": Dataset(1000, 50_889, DATASETS["imagenet"].tails),
    "imagenet_a": Dataset(200, 7500),
    "imagenet_r": Dataset(200, 30_000),
}


@dataclass
class Work:
    """Text work of all seeds: passes (one prompt through the reference's encoder) and tokens of both sides."""

    what: str
    kind: str
    passes: float = 0
    literal: float = 0
    fast: float = 0

    def add(self, times: float, classes: int, tokens: float) -> None:
        self.passes += SEEDS * times * classes
        self.literal += SEEDS * times * classes * LENGTH
        self.fast += SEEDS * times * tokens


def base_to_new() -> list[Work]:
    """Table 1: 11 datasets, trained on base, tested on base and new."""
    coop, cocoop = Work("Table 1, CoOp training", "train"), Work("Table 1, CoCoOp training", "train")
    test = Work("Table 1, CoCoOp test", "evaluate")
    for name, d in DATASETS.items():
        epochs = COOP_EPOCHS_IMAGENET if name == "imagenet" else COOP_EPOCHS
        coop.add(SHOTS * d.base // COOP_BATCH * epochs, d.base, d.tokens(0))
        cocoop.add(SHOTS * d.base * COCOOP_EPOCHS, d.base, d.tokens(0))
        test.add(d.images / 2, d.base, d.tokens(0))
        test.add(d.images / 2, d.classes - d.base, d.tokens(1))
    return [coop, cocoop, test]


def from_imagenet() -> list[Work]:
    """Tables 2 and 3: trained on all of ImageNet, tested on it, the 10 other datasets and the 4 variants."""
    coop, cocoop = Work("Tables 2 and 3, CoOp training", "train"), Work("Tables 2 and 3, CoCoOp training", "train")
    test, d = Work("Tables 2 and 3, CoCoOp test", "evaluate"), DATASETS["imagenet"]
    coop.add(SHOTS * d.classes // COOP_BATCH * COOP_EPOCHS_IMAGENET, d.classes, d.tokens(2))
    cocoop.add(SHOTS * d.classes * COCOOP_EPOCHS, d.classes, d.tokens(2))
    for target in (*DATASETS.values(), *VARIANTS.values()):
        test.add(target.images, target.classes, target.tokens(2))
    return [coop, cocoop, test]


def image_passes() -> dict[str, int]:
    """Pictures through the image tower when features are cached: CoOp's views hold CoCoOp's; test images once for everybody."""
    epochs = {name: COOP_EPOCHS_IMAGENET if name == "imagenet" else COOP_EPOCHS for name in DATASETS}
    return {
        "Table 1, views of few-shot images": SEEDS * sum(SHOTS * d.base * epochs[n] for n, d in DATASETS.items()),
        "Tables 2 and 3, views of few-shot images": SEEDS * SHOTS * 1000 * COOP_EPOCHS_IMAGENET,
        "test images, all tables": sum(d.images for d in (*DATASETS.values(), *VARIANTS.values())),
    }


@torch.no_grad()
def images_per_second(device: str) -> float:
    """ViT-B/16 with random weights, fp32."""
    model = open_clip.create_model("ViT-B-16-quickgelu", pretrained=None).eval().to(device)
    pixels = torch.randn(IMAGES[device], 3, 224, 224, device=device)
    took = []
    for _ in range(4):
        start = time.perf_counter()
        float(model.encode_image(pixels).sum())
        took.append(time.perf_counter() - start)
    return len(pixels) / min(took[1:])


def tokens_per_second(rows: list[dict], kind: str) -> dict[str, float]:
    """Of each side, from the CoCoOp case with most classes that both sides measured."""
    fitting = [r for r in rows if (r["method"], r["work"]) == ("cocoop", kind) and "literal" in r]
    best = max(fitting, key=lambda row: row["classes"])
    return {side: best[side]["tokens"] / best[side]["seconds"] for side in ("literal", "fast")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path, help="what `cocoop bench --json` wrote")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the image tower is measured")
    options = parser.parse_args()
    measured = json.loads(options.bench.read_text())
    speed = {kind: tokens_per_second(measured["rows"], kind) for kind in ("train", "evaluate")}
    rows = [
        [
            w.what, f"{w.passes / 1e6:.1f}", f"{w.literal / 1e6:,.0f}", f"{w.fast / 1e6:,.0f}", f"{w.literal / w.fast:.1f}x",
            f"{w.literal / speed[w.kind]['literal'] / 3600:,.1f}", f"{w.fast / speed[w.kind]['fast'] / 3600:,.1f}",
        ]
        for w in (*base_to_new(), *from_imagenet())
    ]  # fmt: skip
    head = ["three seeds", "text passes, millions", "literal tokens, millions", "fast tokens, millions", "ratio",
            "literal hours", "fast hours"]  # fmt: skip
    print(measured["where"], tabulate(rows, head, "pipe", disable_numparse=True), sep="\n\n", end="\n\n")
    rate = images_per_second(options.device)
    rows = [[what, f"{count / 1e6:.2f}", f"{count / rate / 3600:,.1f}"] for what, count in image_passes().items()]
    print(
        tabulate(
            rows,
            ["image tower", "image passes, millions", f"hours at {rate:.1f} images/s"],
            "pipe",
            disable_numparse=True,
        )
    )


if __name__ == "__main__":
    main()
