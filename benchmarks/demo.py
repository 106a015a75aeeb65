"""By how much the demo's trainings and CoCoOp's tests get faster through the exact prompt encoder, on the demo's own inputs.

    make demo && python benchmarks/demo.py

Each training of the demo is run again for a twentieth of its epochs, and each CoCoOp test for its first images, once through
the tiny CLIP's own text tower (all tokens of every prompt) and once through the exact encoder. Prints a Markdown table.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from tabulate import tabulate

from cocoop import io, methods
from cocoop.clip import backbone, feature_file, text
from cocoop.clip.text import TextSide
from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.evaluation.predict import predict
from cocoop.training.loop import fit
from cocoop.training.run import load_views

RESULTS, TEMPLATE = Path("results"), "a photo of a {}."
SHARE, TESTED = 20, 25  # a twentieth of the epochs; test images


def trainings() -> Iterator[tuple[dict, Path]]:
    """Settings and views of the demo's trainings."""
    for learned in sorted(RESULTS.glob("runs/tiny/*/base/*/shots*/seeds*/learned.safetensors")):
        settings = io.read_tensors(learned, "learned")[1]["settings"]
        yield settings, next(RESULTS.glob(f"views/tiny/{settings['dataset']}/**/plain.safetensors"))


def sides(settings: dict) -> dict[str, TextSide]:
    """The literal and the exact text side of the same weights."""
    exact = text.load(RESULTS / "backbones/tiny/text_tower.safetensors", settings)
    model = backbone.load(BackboneSpec(label="tiny", **settings)).model
    return {"literal": TextSide.literal(model), "exact": exact}


def measure(work: str, run: Callable[[], None], seconds: Counter[tuple[str, str]], side: str) -> None:
    run()  # once to warm up
    start = time.perf_counter()
    run()
    seconds[work, side] += time.perf_counter() - start


def main() -> None:
    seconds: Counter[tuple[str, str]] = Counter()
    for settings, views in trainings():
        for side, words in sides(settings["backbone"]).items():
            exact = text.load(RESULTS / "backbones/tiny/text_tower.safetensors", settings["backbone"])
            features, labels, names, _ = load_views(settings, [views], exact.fingerprint)
            method = methods.build(settings, words, TEMPLATE, names)
            plan = settings["training"] | {
                "epochs": max(1, settings["training"]["epochs"] // SHARE),
                "warmup_epochs": 0,
            }

            def train(method=method, names=names, features=features, labels=labels, plan=plan) -> None:
                fit(method, method.for_classes(names), features, labels, TrainingSpec(**plan))

            measure(f"{settings['variant']}, training", train, seconds, side)
            if settings["method"] == "cocoop":
                path = next(RESULTS.glob(f"features/tiny/{settings['dataset']}/test.safetensors"))
                images = feature_file.load(path, "features", {"dataset": settings["dataset"]})[0]["features"][:TESTED]

                def test(method=method, names=names, images=images, side=words) -> None:
                    classifier = method.for_classes(names)
                    predict(classifier, images, len(method.seeds), len(names), side.embed_dim, "fp32", 256, "test")

                measure("cocoop, test", test, seconds, side)
    works = sorted({work for work, _ in seconds})
    rows = [[w, seconds[w, "literal"], seconds[w, "exact"], seconds[w, "literal"] / seconds[w, "exact"]] for w in works]
    print(tabulate(rows, ["all datasets", "literal s", "exact s", "ratio"], "pipe", floatfmt=("", ".1f", ".1f", ".1f")))


if __name__ == "__main__":
    main()
