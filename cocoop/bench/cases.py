"""The cases to measure, one per line of the table."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

PASSES = ("train", "evaluate")
METHODS = ("cocoop", "coop")
COOP_BATCH = 32  # images per training step of CoOp (CoOp configs/trainers/CoOp/vit_b16_ctxv1.yaml:3)
EVALUATED_IMAGES = 4  # images per timed evaluation; the literal side runs them one by one, like the reference
SEEDS = 3  # that a job trains together (`seeds_per_job` in config/config.yaml)
CPU_CLASSES, CUDA_CLASSES, QUICK_CLASSES = (10, 50, 100), (10, 100, 500, 1000), (50,)
TOWERS_CLASSES = {"cpu": (50,), "cuda": (50, 100, 500)}
CUDA_BATCHES = {"train": (1, 8, 32), "evaluate": (16, 100)}
TOWERS_BATCH = 4  # images per step of MaPLe and its successors (configs/trainers/MaPLe/vit_b16_c2_ep5_batch4_2ctx.yaml)


@dataclass(frozen=True)
class Case:
    """A case.

    Attributes:
        method: cocoop, coop, or with `towers` any registered variant.
        work: one of PASSES.
        batch: images per step and seed.
        precision: fp32 or bf16 (autocast).
        towers: whether images are part of the measurement.
        seeds: seeds in one batch on the fast side, and in one run after another on the literal side, as in the reference.
    """

    method: str
    work: str
    classes: int
    batch: int
    precision: str = "fp32"
    towers: bool = False
    seeds: int = 1

    def __str__(self) -> str:
        together = f", {self.seeds} seeds" if self.seeds > 1 else ""
        return f"{self.method} {self.work}, {self.classes} classes, batch {self.batch}, {self.precision}{together}"


def cases(device: str, classes: Sequence[int] = (), quick: bool = False, seeds: int = 1) -> list[Case]:
    """All cases for a device: each with one seed, and those with the smallest batch also with several seeds.

    quick: only CoCoOp. CoOp has one batch size, because its text features do not depend on images.
    """
    if not classes:
        classes = QUICK_CLASSES if quick else CUDA_CLASSES if device == "cuda" else CPU_CLASSES
    precisions = ("fp32", "bf16") if device == "cuda" else ("fp32",)
    methods = METHODS[:1] if quick else METHODS
    return [
        Case(method, work, count, batch, precision, seeds=together)
        for method in methods
        for work in PASSES
        for count in classes
        for precision in precisions
        for place, batch in enumerate(_batches(method, work, device))
        for together in ((1, seeds) if seeds > 1 and place == 0 else (1,))
    ]


def towers_cases(
    device: str, variants: Sequence[str], classes: Sequence[int] = (), batch: int | None = None
) -> list[Case]:
    """A training step of each variant with each number of classes."""
    counts = classes or TOWERS_CLASSES[device]
    return [Case(name, "train", n, batch or TOWERS_BATCH, towers=True) for name in variants for n in counts]


def _batches(method: str, work: str, device: str) -> Iterator[int]:
    if method == "coop":
        yield COOP_BATCH
    elif device == "cuda":
        yield from CUDA_BATCHES[work]
    else:
        yield 1 if work == "train" else EVALUATED_IMAGES
