"""Measures how much time the exact prompt encoder and joint training of seeds save in the demo.

    make demo && python benchmarks/demo.py

Repeats each training of the demo for a twentieth of its epochs, and each CoCoOp test on its first images, in three ways: with the
tiny CLIP's own text encoder (all tokens of every prompt), with the exact prompt encoder, and with the exact prompt encoder and one
seed after another. Prints a Markdown table.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch
from tabulate import tabulate

from cocoop import methods
from cocoop.backbone import model as backbone
from cocoop.evaluation.predict import predict
from cocoop.images import feature_file
from cocoop.images.cached import load_views
from cocoop.methods.base import Task
from cocoop.planning.files import plan_of
from cocoop.planning.jobs import Jobs
from cocoop.run import Run
from cocoop.text import text_encoder as text
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.loop import Trainer

SHARE, TESTED = 20, 25  # divisor of the epochs; number of test images
WAYS = ("literal", "exact", "exact, single seeds")


def trained() -> Iterator[tuple[Run, Path, Path, Path]]:
    """The demo's trained runs with the files of their views, test features and text tower."""
    jobs = Jobs(plan_of())
    for run in jobs.plan.runs:
        if run.training is not None and run.inputs == "features":
            views = jobs.views(jobs.views_of(run)[0]).outputs["views"]
            features = jobs.features(jobs.plan.datasets[run.dataset]).outputs["features"]
            yield run, Path(views), Path(features), Path(jobs.text_tower().outputs["text_tower"])


def measure(run: Run, encoder: TextEncoder, views: Path, tests: Path, fingerprint: str) -> dict[str, float]:
    """Seconds of the training and, for CoCoOp, of the test, each measured once after a warm-up."""
    few = load_views(run, [views], fingerprint, encoder.device)
    method = methods.build(run, Task(encoder, run.seeds, few.classnames, run.templates))
    training = replace(run.training, epochs=max(1, run.training.epochs // SHARE), warmup_epochs=0)
    images = feature_file.load(tests, "features", {"dataset": run.dataset})[0]["features"][:TESTED]

    def train() -> None:
        Trainer(method, method.for_classes(few.classnames), few, training).run()

    def test() -> None:
        predict(
            method.for_classes(few.classnames),
            [images],
            torch.zeros(len(images)).long(),
            len(method.seeds),
            "fp32",
            "test",
        )

    works = {"training": train} | ({"test": test} if run.method == "cocoop" else {})
    seconds = {}
    for name, work in works.items():
        work()
        start = time.perf_counter()
        work()
        seconds[f"{run.variant}, {name}"] = time.perf_counter() - start
    return seconds


def main() -> None:
    seconds = {way: Counter() for way in WAYS}
    for run, views, features, tower in trained():
        files = views, features
        exact = text.load(tower, run.backbone.settings)
        model = backbone.load(run.backbone).model
        seconds["literal"].update(measure(run, TextEncoder.literal(model), *files, exact.fingerprint))
        seconds["exact"].update(measure(run, exact, *files, exact.fingerprint))
        for seed in run.seeds:
            single = replace(run, seeds=(seed,))
            seconds["exact, single seeds"].update(measure(single, exact, *files, exact.fingerprint))
    rows = []
    for work in sorted(seconds["exact"]):
        literal, exact, single = (seconds[way][work] for way in WAYS)
        rows.append([work, literal, exact, literal / exact, single, single / exact])
    head = ["all datasets", "literal s", "exact s", "ratio", "exact s, single seeds", "ratio"]
    print(tabulate(rows, head, "pipe", floatfmt=("", ".1f", ".2f", ".1f", ".2f", ".1f")))


if __name__ == "__main__":
    main()
