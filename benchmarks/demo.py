"""What the exact prompt encoder and seeds trained together save in the demo, on the demo's own inputs.

    make demo && python benchmarks/demo.py

Each training of the demo is run again for a twentieth of its epochs, and each CoCoOp test for its first images: through the
tiny CLIP's own text tower (all tokens of every prompt), through the exact encoder, and through it with one seed after the
other. Prints a Markdown table.
"""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tabulate import tabulate

from cocoop import io, methods
from cocoop.backbone import model as backbone
from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.evaluation.predict import predict
from cocoop.images import feature_file
from cocoop.images.train_images import load_views
from cocoop.text import text_encoder as text
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.loop import fit

RESULTS, TEMPLATE = Path("results"), "a photo of a {}."
TOWER = RESULTS / "backbones/tiny/text_tower.safetensors"
SHARE, TESTED = 20, 25  # a twentieth of the epochs; test images
WAYS = ("literal", "exact", "exact, seeds apart")
Settings = dict[str, Any]


def trained() -> Iterator[tuple[Settings, Path, Path]]:
    """Settings, views and test features of the demo's trainings."""
    for learned in sorted(RESULTS.glob("runs/tiny/*/base/*/shots*/seeds*/learned.safetensors")):
        settings = io.read_tensors(learned, "learned")[1]["settings"]
        dataset = settings["dataset"]
        yield (
            settings,
            next(RESULTS.glob(f"views/tiny/{dataset}/**/plain.safetensors")),
            RESULTS / f"features/tiny/{dataset}/test.safetensors",
        )


def measure(settings: Settings, side: TextEncoder, views: Path, tests: Path, fingerprint: str) -> dict[str, float]:
    """Seconds of the training and, for CoCoOp, of the test; each once to warm up and once timed."""
    features, labels, names, _ = load_views(settings, [views], fingerprint, side.device)
    method = methods.build(settings, side, TEMPLATE, names)
    epochs = max(1, settings["training"]["epochs"] // SHARE)
    training = TrainingSpec(**settings["training"] | {"epochs": epochs, "warmup_epochs": 0})
    images = feature_file.load(tests, "features", {"dataset": settings["dataset"]})[0]["features"][:TESTED]

    def train() -> None:
        fit(method, method.for_classes(names), features, labels, training)

    def test() -> None:
        predict(method.for_classes(names), [images], len(images), len(method.seeds), "fp32", "test")

    works = {"training": train} | ({"test": test} if settings["method"] == "cocoop" else {})
    seconds = {}
    for name, run in works.items():
        run()
        start = time.perf_counter()
        run()
        seconds[f"{settings['variant']}, {name}"] = time.perf_counter() - start
    return seconds


def main() -> None:
    seconds = {way: Counter() for way in WAYS}
    for settings, *files in trained():
        exact = text.load(TOWER, settings["backbone"])
        model = backbone.load(BackboneSpec(**settings["backbone"])).model
        seconds["literal"].update(measure(settings, TextEncoder.literal(model), *files, exact.fingerprint))
        seconds["exact"].update(measure(settings, exact, *files, exact.fingerprint))
        for seed in settings["seeds"]:
            alone = settings | {"seeds": [seed]}
            seconds["exact, seeds apart"].update(measure(alone, exact, *files, exact.fingerprint))
    rows = []
    for work in sorted(seconds["exact"]):
        literal, exact, apart = (seconds[way][work] for way in WAYS)
        rows.append([work, literal, exact, literal / exact, apart, apart / exact])
    head = ["all datasets", "literal s", "exact s", "ratio", "exact s, seeds apart", "ratio"]
    print(tabulate(rows, head, "pipe", floatfmt=("", ".1f", ".2f", ".1f", ".2f", ".1f")))


if __name__ == "__main__":
    main()
