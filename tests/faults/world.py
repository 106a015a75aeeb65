"""A benchmark in miniature: an archive on a server, a small random CLIP, and the command line of every stage."""

import io as bytes_io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cocoop import io
from cocoop.config import Registry
from cocoop.planning import Block, Plan, experiment_content
from cocoop.run import Run
from tests.faults import processes
from tests.runs import evaluation_of, run_of

CLASSNAMES = ("red flag", "green flag", "blue flag", "grey flag")
PER_SPLIT = {"train": 8, "val": 2, "test": 6}
MODEL = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 32},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1},
}
SEEDS = [1, 2]
DRAWN = {
    "name": "digits",
    "settings": {
        "title": "Digits",
        "template": "a {}.",
        "miniature": {"name": "digits"},
        "reader": {"kind": "coop_split", "file": "split.json", "images": "images"},
    },
}
STAGES = (
    "download",
    "manifest",
    "fewshot",
    "text-tower",
    "features",
    "views",
    "train",
    "evaluate",
    "collect",
    "tables",
)
LATER = ("experiment", "paired", "figures", "report", "draw")  # what comes after them, and drawing a miniature
TIMED = ("cost.json",)  # files that say how long something took


def picture(label: int, number: int, side: int = 40) -> bytes:
    """A PNG file that depends on its arguments alone."""
    noise = np.random.default_rng([label, number]).integers(0, 120, (side, side, 3), dtype=np.uint8)
    noise[..., label % 3] += 100
    out = bytes_io.BytesIO()
    Image.fromarray(noise).save(out, "png")
    return out.getvalue()


def archive(more: int = 0) -> bytes:
    """The dataset as a tar: images and a split file in the CoOp authors' format; and so many small files more."""
    splits: dict[str, list] = {split: [] for split in PER_SPLIT}
    out = bytes_io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for label, name in enumerate(CLASSNAMES):
            for split, count in PER_SPLIT.items():
                for number in range(count):
                    path = f"{name.replace(' ', '_')}/{split}_{number}.png"
                    _add(tar, f"images/{path}", picture(label, 100 * len(split) + number))
                    splits[split].append([path, label, name])
        for number in range(more):
            _add(tar, f"images/more/{number}.txt", str(number).encode())
        _add(tar, "split.json", json.dumps(splits).encode())
    return out.getvalue()


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, bytes_io.BytesIO(content))


def dataset_of(url: str, sha256: str) -> dict[str, Any]:
    """The dataset's YAML, for an archive at this URL."""
    file = {"file": "flags.tar", "sources": [url], "sha256": sha256}
    return {
        "title": "Flags", "template": "a photo of a {}.", "classes": 4, "sizes": {k: 4 * v for k, v in PER_SPLIT.items()},
        "download": [file | {"gives": ["images", "split.json"], "extract": {}}],
        "reader": {"kind": "coop_split", "file": "split.json", "images": "images"},
    }  # fmt: skip


@dataclass
class World:
    """Inputs of all stages below `folder`; outputs go where `arguments` is told."""

    folder: Path
    url: str
    archive_sha256: str
    run: Run = field(init=False)
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        config = self.folder / "config"
        for kind in ("backbones", "datasets", "methods", "experiments"):
            (config / kind).mkdir(parents=True)
        for method in ("clip", "coop"):
            (config / "methods" / f"{method}.yaml").write_bytes(
                (io.REPOSITORY / f"config/methods/{method}.yaml").read_bytes()
            )
        model = self.folder / "small_random.json"
        model.write_text(json.dumps(MODEL))
        backbone = {"label": "small", "model": str(model), "pretrained": None}
        dataset = dataset_of(self.url, self.archive_sha256)
        experiment = {
            "title": "Flags", "table": "base_to_new", "caption": "", "variants": ["clip", "coop"], "train_datasets": ["flags"],
            "train_subset": "base", "shots": [4], "targets": [], "target_subsets": ["base", "new"],
        }  # fmt: skip
        contents = {"backbones/small": backbone, "datasets/flags": dataset, "experiments/flags": experiment}
        for name, content in contents.items():
            (config / f"{name}.yaml").write_text(json.dumps(content))
        self.config = {
            "data_root": "data", "offline": False, "backbone": "small", "device": "cpu", "seeds": SEEDS, "seeds_per_job": 2,
            "views": 6, "text_budget_mb": 256, "variants": {"coop": {"training": {"epochs": 12, "batch_size": 2}}},
            "experiments": {"flags": {}},
        }  # fmt: skip
        (config / "config.yaml").write_text(json.dumps(self.config))
        self.plan = Plan(self.config, Registry(config, self.config["variants"]))
        self.block = self.plan.blocks[0]
        self.run = self.run_of(self.block)

    def run_of(self, block: Block) -> Run:
        """The run of a block of the plan."""
        plan, variant = self.plan, self.plan.variant_of(block)
        training = variant.training_on(block.dataset, block.shots)
        templates = (plan.datasets["flags"].template,)
        return run_of(
            variant, backbone=plan.backbone, dataset=block.dataset, subset=block.subset, templates=templates,
            training=training, views=plan.views_of(block), shots=block.shots, seeds=block.seeds,
        )  # fmt: skip

    def arguments(self, stage: str, out: Path, made: Path | None = None) -> list[str]:
        """The command line of a stage that reads from `made` (a folder of finished stages) and writes below `out`."""
        made, out, text = made or out, Path(out), io.canonical_json
        backbone = self.plan.backbone.settings
        spec = self.plan.datasets["flags"]
        dataset = text({"name": spec.name, "settings": spec.settings})
        selections = [made / f"fewshot{seed}.json" for seed in SEEDS]
        images = ["--manifest", made / "manifest.json", "--root", made / "data/flags"]
        words = ["--text-tower", made / "text_tower.safetensors"]
        views = {"backbone": backbone, "subset": "base", "seeds": SEEDS, "views": [0, 6]}
        lines = {
            "download": ["--settings", dataset, "--data-root", out / "data", "--out", out / "source.json"],
            "manifest": ["--settings", dataset, "--data-root", made / "data", "--out", out / "manifest.json"],
            "fewshot": ["--manifest", made / "manifest.json", "--shots", 4, "--seed", 1, "--out", out / "fewshot1.json"],
            "fewshot2": ["--manifest", made / "manifest.json", "--shots", 4, "--seed", 2, "--out", out / "fewshot2.json"],
            "text-tower": ["--settings", text(backbone), "--out", out / "text_tower.safetensors"],
            "features": ["--settings", text({"backbone": backbone}), *images, "--out", out / "features.safetensors"],
            "views": ["--settings", text(views), *images, "--fewshot", *selections, "--out", out / "views.safetensors"],
            "train": ["--run", self.run.to_json(), "--views", made / "views.safetensors", *words, "--out", out / "run"],
            "evaluate": [
                "--evaluation", evaluation_of(self.run, "base", "new").to_json(), *words, "--features",
                made / "features.safetensors", "--manifest", made / "manifest.json", "--learned",
                made / "run/learned.safetensors", "--out", out / "test",
            ],
            "experiment": ["--settings", text(experiment_content(self.plan, "flags")), "--out", out / "experiment.json"],
            "collect": ["--metrics", made / "metrics.txt", "--fewshot", *selections, "--out", out / "records.csv"],
            "tables": ["--experiment", made / "experiment.json", "--records", made / "records.csv", "--out", out / "tables"],
            "paired": [
                "--experiment", made / "experiment.json", "--metrics", made / "metrics.txt", "--records", made / "records.csv",
                "--out", out / "paired",
            ],
            "figures": [
                "--experiment", made / "experiment.json", "--records", made / "records.csv", "--runs", made / "runs.txt",
                "--out", out / "figures",
            ],
            "report": [
                "--results", made / "results", "--experiments", made / "experiment.json", "--data-root", made / "data",
                "--out", out / "report.html",
            ],
            "draw": ["--settings", text(DRAWN), "--data-root", out / "data", "--out", out / "source.json"],
        }  # fmt: skip
        return ["download" if stage == "draw" else stage.rstrip("2"), *map(str, lines[stage])]

    def make_all(self, out: Path) -> dict[str, float]:
        """All stages, undisturbed; the seconds each took."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.txt").write_text(f"{out / 'test/metrics.json'}\n")
        (out / "runs.txt").write_text(f"{out / 'run'}\n{out / 'test'}\n")
        seconds = {}
        for stage in ("download", "manifest", "fewshot", "fewshot2", *STAGES[3:8], "experiment", "collect", "tables"):
            ended = processes.run(self.arguments(stage, out), out / "log")
            assert ended.code == 0, f"{stage}: {ended.text}"
            seconds[stage] = ended.seconds
        (out / "log").unlink()
        return seconds


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every finished file of a folder: no hidden files, parts, or files that hold times."""
    return {
        str(path.relative_to(folder)): io.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _passing(path.relative_to(folder))
    }


def _passing(path: Path) -> bool:
    hidden = any(part.startswith(".") or part.endswith(".parts") for part in path.parts)
    return (
        hidden
        or path.name in (*TIMED, "checkpoint.safetensors", "metrics.txt", "runs.txt")
        or path.suffix in (".log", ".part")
    )
