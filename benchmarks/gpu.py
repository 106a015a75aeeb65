"""Everything that a GPU decides, measured in one command: random weights, synthetic pictures, no network.

    python benchmarks/gpu.py [--json gpu.json]     about half an hour on a GPU
    python benchmarks/gpu.py --small               all of it on the CPU in some minutes, with tiny towers and pictures

Measures `python -m cocoop bench` in fp32 and bf16, training steps that are launched and replayed, images per second while decoding
and encoding overlap, a whole Table 1 in small through the real workflow, and peak memory. Prints a Markdown table for
docs/performance.md. `python -m cocoop plan --throughput gpu.json` reads the file.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))

from on_gpu import pictures, steps, table1  # noqa: E402
from on_gpu.pictures import Rate  # noqa: E402
from on_gpu.steps import Step  # noqa: E402
from on_gpu.table1 import Made, Size  # noqa: E402
from tabulate import tabulate  # noqa: E402

from cocoop import io  # noqa: E402
from cocoop.backbone import tiny  # noqa: E402
from cocoop.bench import images, run, starts, towers  # noqa: E402
from cocoop.bench.cases import SEEDS, Case, cases  # noqa: E402
from cocoop.bench.table import Measured  # noqa: E402
from cocoop.config.specs import BackboneSpec  # noqa: E402
from cocoop.device import choose  # noqa: E402

STAGES = {"views": "training views", "features": "test features", "train": "trainings", "evaluate": "tests"}


@dataclass(frozen=True)
class Sizes:
    """What to measure. architecture: as in a file of open_clip; classes: of the bench, none for those of the device."""

    architecture: Mapping[str, Any]
    table: Size
    classes: Sequence[int] = ()
    steps: Sequence[int] = (10, 100)  # classes
    views: int = 64  # of a training picture, for images per second
    repeats: int = 3
    encoder: BackboneSpec = images.VIT_B16  # of the bench's images per second


FULL = Sizes(
    {**towers.GEOMETRY, "quick_gelu": True}, Size(datasets=3, classes=20, images=200, shots=16, seeds=3)
)  # ViT-B/16
SMALL = Sizes(
    {
        "embed_dim": 64, "quick_gelu": True,
        "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 3},
    },
    Size(datasets=1, classes=4, images=20, shots=4, seeds=3, views=2, epochs={"coop": 2, "cocoop": 1}),
    classes=(5,), steps=(5,), views=2, repeats=1, encoder=BackboneSpec("bench", str(tiny.config("tiny_clip_vit")), None),
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """The measurements, in the order of the table."""

    bench: list[Measured]
    images: images.Measured
    starts: starts.Starts
    steps: list[Step]
    table: Made
    rates: list[Rate]


def measure(sizes: Sizes, device: str, folder: Path, workers: int) -> Found:
    """Measures everything; folder: for the table."""
    text = {**sizes.architecture["text_cfg"], "output_dim": sizes.architecture["embed_dim"]}
    todo = cases(device, sizes.classes, seeds=SEEDS)
    benched = run.measure(todo, device, sizes.repeats, text)
    precision = "bf16" if device == "cuda" else "fp32"
    stepped = [
        steps.measure(Case("cocoop", "train", classes, 1, precision, seeds=seeds), text, device, 10 * sizes.repeats)
        for classes in sizes.steps
        for seeds in (1, SEEDS)
    ]
    table = table1.make(folder, sizes.architecture, sizes.table, device, workers + 1)
    rates = pictures.rates(table, device, workers, sizes.views)
    return Found(benched, images.measure(device, sizes.encoder), starts.measure(), stepped, table, rates)


def record(found: Found, device: str) -> dict[str, Any]:
    """The content of the file: what `bench --json` writes, and the rest beside it."""
    made = {key: value for key, value in vars(found.table).items() if key not in ("folder", "names", "backbone")}
    more = {"steps": list(map(asdict, found.steps)), "overlap": list(map(asdict, found.rates)), "table1": made}
    return {
        **run.record(found.bench, device),
        "images": found.images.record(),
        "starts": starts.record(found.starts),
        **more,
    }


def rendered(found: Found, device: str, workers: int) -> str:
    """The Markdown table, headed by the device."""
    rows = [*_bench(found.bench), *_steps(found.steps), *_images(found, workers), *_table(found.table)]
    rows += [(how, f"{seconds.wall:.2f} s", f"{seconds.cpu:.2f} CPU s") for how, seconds in found.starts.items()]
    return tabulate(rows, [run.where(device), "measured", ""], "pipe", disable_numparse=True)


def _bench(measured: Sequence[Measured]) -> Iterator[tuple[str, str, str]]:
    """CoCoOp's rows of the bench with the smallest batches, and the ratios to the literal computation."""
    smallest = {(m.case.work, m.case.batch) for m in measured if m.case.seeds > 1}
    for m in (m for m in measured if m.case.method == "cocoop" and (m.case.work, m.case.batch) in smallest):
        times, smaller = m.ratio(), m.memory_ratio()
        said = [f"{times:.1f}x the speed of the literal computation"] if times else []
        said += [f"1/{smaller:.1f} of its memory"] if smaller else []
        size = m.peak_mb.get("fast")
        yield str(m.case), f"{_ms(m.seconds['fast'])}" + (f", {size:.0f} MB" if size else ""), ", ".join(said)


def _steps(measured: Sequence[Step]) -> Iterator[tuple[str, str, str]]:
    for step in measured:
        again = f"launched: {_ms(step.launched)}"
        if step.replayed is None or step.difference is None:
            yield f"{step.case}, replayed", "-", f"{again}; {step.note}"
        else:
            yield f"{step.case}, replayed", _ms(step.replayed), f"{again}; results differ by {step.difference:.1e}"


def _images(found: Found, workers: int) -> Iterator[tuple[str, str, str]]:
    for rate in found.rates:
        alone = f"decoding in {workers} processes alone {rate.decoded:,.0f}, encoding alone {rate.encoded:,.0f}"
        yield f"images a second, {rate.what}", f"{rate.together:,.0f}", alone


def _table(made: Made) -> Iterator[tuple[str, str, str]]:
    parts = [f"{STAGES[name]} {made.stages[name]:.1f} s" for name in STAGES if name in made.stages]
    yield "Table 1 in small, from start to end", f"{made.seconds:.0f} s", f"{made.jobs} stages: {', '.join(parts)}"
    yield "Table 1 in small, peak memory of a training", f"{made.peak_mb:,.0f} MB", ""


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny towers and pictures, on the CPU")
    parser.add_argument("--json", type=Path, default=Path("gpu.json"), help="file to write (default: gpu.json)")
    about = "processes that decode pictures (default: one less than there are cores)"
    parser.add_argument("--workers", type=int, default=max(1, (os.cpu_count() or 2) - 1), help=about)
    options = parser.parse_args()
    device = choose("cpu" if options.small else "cuda")
    with tempfile.TemporaryDirectory() as folder:
        found = measure(SMALL if options.small else FULL, device, Path(folder), options.workers)
        io.write_json(options.json, record(found, device))
        print(rendered(found, device, options.workers))


if __name__ == "__main__":
    main()
