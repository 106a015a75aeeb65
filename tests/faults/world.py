"""A benchmark in miniature: an archive on a server, a small random CLIP, and the command line of every stage."""

import io as bytes_io
import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from cocoop import io
from cocoop.config import Registry
from cocoop.planning import Plan, stages
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.run import Evaluation, Run
from tests.faults import processes

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
LISTS = ("metrics.txt", "costs.txt", "histories.txt")
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
    plan: Plan = field(init=False)
    jobs: list[Job] = field(init=False)
    run: Run = field(init=False)
    evaluation: Evaluation = field(init=False)

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
            "views": 6, "text_budget_mb": 256, "image_states_mb": 0, "forkserver": True,
            "variants": {"coop": {"training": {"epochs": 12, "batch_size": 2}}},
            "experiments": {"flags": {}},
        }  # fmt: skip
        (config / "config.yaml").write_text(json.dumps(self.config))
        self.plan = Plan(self.config, Registry(config, self.config["variants"]))
        self.jobs = jobs_of(self.plan)
        self.run = self.plan.runs[0]
        self.backbone = self.run.backbone
        self.evaluation = next(e for e in self.plan.evaluations if e.run == self.run)

    def job(self, stage: str, seed: int = 1) -> Job:
        """The job of a stage (of CoOp, and of a seed, where there are several)."""
        return next(
            job for job in self.jobs
            if job.stage.name == stage.replace("-", "_") and job.wildcards.get("seed", str(seed)) == str(seed)
            and (not isinstance(job.about, Evaluation) or job.about.run == self.run)
        )  # fmt: skip

    def arguments(self, stage: str, out: Path, made: Path | None = None) -> list[str]:
        """The command line of a stage that reads from `made` (a folder of finished stages) and writes below `out`.

        It is the planned one, with short names for the files: results/datasets/flags/ID/manifest.json is manifest.json.
        """
        made, out = made or out, Path(out)
        which = ["--experiment", made / "experiment.json"]
        records, metrics = ["--records", made / "records.csv"], ["--metrics", made / "metrics.txt"]
        costs = ["--costs", made / "costs.txt", "--histories", made / "histories.txt"]
        drawn = ["--fewshot", *(made / f"fewshot{seed}.json" for seed in SEEDS)]
        pages = ["--results", made / "results", "--experiments", made / "experiment.json", *metrics, "--manifests",
                 made / "manifest.json", "--data-root", made / "data"]  # fmt: skip
        download = ["--data-root", out / "data", "--out", out / "source.json"]
        lines = {  # the rules themselves have the lines of what comes after the evaluations
            "collect": [*metrics, *drawn, "--out", out / "records.csv"],
            "tables": [*which, *records, "--out", out / "tables"],
            "paired": [*which, *metrics, *records, "--out", out / "paired"],
            "figures": [*which, *records, *costs, "--out", out / "figures"],
            "report": [*pages, "--out", out / "report.html"],
            "draw": ["--dataset", io.canonical_json(DRAWN), *download],
        }
        if stage in lines:
            return ["download" if stage == "draw" else stage, *map(str, lines[stage])]
        job = self.job("fewshot", seed=2) if stage == "fewshot2" else self.job(stage)
        data = out if job.stage is stages.DOWNLOAD else made
        places = {self.config["data_root"]: data / "data", f"{self.config['data_root']}/flags": made / "data/flags"}
        places |= {path: made / name for path, name in self._short_names()}
        places |= {path: out / name for path, name in _short_names(job)}
        return [str(places.get(word, word)) for word in job.command]

    def _short_names(self) -> Iterator[tuple[str, str]]:
        for stage in ("download", "manifest", "text-tower", "features", "views", "train", "evaluate", "experiment"):
            yield from _short_names(self.job(stage))
        for seed in SEEDS:
            yield from _short_names(self.job("fewshot", seed))

    def make_all(self, out: Path) -> dict[str, float]:
        """All stages, undisturbed; the seconds each took."""
        out.mkdir(parents=True, exist_ok=True)
        (out / "metrics.txt").write_text(f"{out / 'test/metrics.json'}\n")
        (out / "costs.txt").write_text(f"{out / 'run/cost.json'}\n{out / 'test/cost.json'}\n")
        (out / "histories.txt").write_text(f"{out / 'run/history.csv'}\n")
        seconds = {}
        for stage in ("download", "manifest", "fewshot", "fewshot2", *STAGES[3:8], "experiment", "collect", "tables"):
            ended = processes.run(self.arguments(stage, out), out / "log")
            assert ended.code == 0, f"{stage}: {ended.text}"
            seconds[stage] = ended.seconds
        (out / "log").unlink()
        return seconds


def _short_names(job: Job) -> Iterator[tuple[str, str]]:
    """What the workflow calls a job's outputs, and the folder of several, with the short name of each."""
    short = {"download": "source.json", "fewshot": f"fewshot{job.wildcards.get('seed')}.json", "train": "run", "evaluate": "test",
             "features": "features.safetensors", "views": "views.safetensors", "experiment": "experiment.json"}  # fmt: skip
    for path in job.outputs.values():
        folder, _, name = path.rpartition("/")
        if job.stage in (stages.TRAIN, stages.EVALUATE):
            yield path, f"{short[job.stage.name]}/{name}"
            yield folder, short[job.stage.name]
        else:
            yield path, short.get(job.stage.name, name)


def contents(folder: Path) -> dict[str, str]:
    """sha256 of every finished file of a folder: no hidden files, parts, or files that hold times."""
    return {
        str(path.relative_to(folder)): io.sha256_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not _passing(path.relative_to(folder))
    }


def _passing(path: Path) -> bool:
    hidden = any(part.startswith(".") or part.endswith(".parts") for part in path.parts)
    return hidden or path.name in (*TIMED, "checkpoint.safetensors", *LISTS) or path.suffix in (".log", ".part")
