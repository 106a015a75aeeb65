"""A dataset of any list of classes, through every stage from its manifest to the report."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from cocoop import io
from cocoop.config import Registry
from cocoop.planning import Plan, stages
from cocoop.planning.job import Job
from cocoop.planning.jobs import jobs_of
from cocoop.run import Evaluation
from tests.faults import processes
from tests.faults.world import World, picture

METHODS = ("clip", "coop", "cocoop")
TRAINING = {"epochs": 2, "batch_size": 2}


class Class(NamedTuple):
    """A class by its name and how many images it has."""

    name: str
    train: int = 2
    test: int = 2


@dataclass
class Odd:
    """The miniature benchmark with a dataset `odd` of these classes, in `folder`; `subsets` decides which table it becomes."""

    world: World
    made: Path
    folder: Path
    classes: Sequence[Class]
    shots: int = 2
    subsets: Sequence[str] = ("base", "new")
    variants: dict[str, Any] = field(default_factory=dict)
    jobs: list[Job] = field(init=False)

    def __post_init__(self) -> None:
        config = self.folder / "config"
        shutil.copytree(self.world.folder / "config", config)
        (config / "methods/cocoop.yaml").write_bytes((io.REPOSITORY / "config/methods/cocoop.yaml").read_bytes())
        reader = {"kind": "coop_split", "file": "split.json", "images": "images"}
        dataset = {"title": "Odd", "template": "a photo of a {}.", "reader": reader}
        base = tuple(self.subsets) == ("base", "new")
        experiment = {
            "title": "Odd", "table": "base_to_new" if base else "curves", "caption": "", "variants": [*METHODS],
            "train_datasets": ["odd"], "train_subset": self.subsets[0], "shots": [self.shots], "targets": [],
            "target_subsets": [*self.subsets],
        }  # fmt: skip
        for name, content in (("datasets/odd", dataset), ("experiments/odd", experiment)):
            (config / f"{name}.yaml").write_text(json.dumps(content))
        self._draw()
        changes = {name: {"training": TRAINING, **self.variants.get(name, {})} for name in METHODS[1:]}
        content = {**self.world.config, "seeds": [1], "seeds_per_job": 1, "views": 2, "variants": changes}
        content["experiments"] = {"odd": {}}
        (config / "config.yaml").write_text(json.dumps(content))
        self.jobs = jobs_of(Plan(content, Registry(config, changes)))
        tower = self.folder / self._made_by(stages.TEXT_TOWER)[0].outputs["text_tower"]
        tower.parent.mkdir(parents=True)
        shutil.copy(self.made / "text_tower.safetensors", tower)

    def _draw(self) -> None:
        splits: dict[str, list] = {"train": [], "val": [], "test": []}
        for label, one in enumerate(self.classes):
            for split, count in (("train", one.train), ("test", one.test)):
                for number in range(count):
                    path = self.folder / "data/odd/images" / f"{label}_{split}_{number}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(picture(label, number + 50 * (split == "test"), 32))
                    splits[split].append([path.name, label, one.name])
        (self.folder / "data/odd/split.json").write_text(json.dumps(splits))

    def run(self) -> tuple[str, processes.Ended]:
        """All stages one after the other; the last that ran and how it ended, which is the first that failed."""
        last = None
        for stage, line in self.lines():
            last = stage, processes.run(line, self.folder / "log", folder=self.folder, quick=False)
            if last[1].code:
                break
        return last

    def lines(self) -> Iterator[tuple[str, list[str]]]:
        """Stage and command line, as the workflow runs them."""
        for job in self.jobs:
            if job.stage not in (stages.DOWNLOAD, stages.TEXT_TOWER) and job.command[1:]:
                yield job.stage.name, job.command
        lists = {}
        for job in self.jobs:
            lists |= {name: paths for name, paths in job.inputs.items() if name in ("metrics", "costs", "histories")}
        for name, paths in lists.items():
            (self.folder / f"{name}.txt").write_text("".join(f"{path}\n" for path in paths))
        folder = Path("results/experiments/odd")
        which = ["--experiment", self._made_by(stages.CONTENT)[0].outputs["experiment"]]
        records, listed = ["--records", str(folder / "records.csv")], ["--metrics", "metrics.txt"]
        costs = ["--costs", "costs.txt", "--histories", "histories.txt"]
        drawn = [path for job in self._made_by(stages.FEWSHOT) for path in job.outputs.values()]
        manifest = self._made_by(stages.MANIFEST)[0].outputs["manifest"]
        yield "collect", ["collect", *listed, "--fewshot", *drawn, "--out", records[1]]
        yield "tables", ["tables", *which, *records, "--out", str(folder / "tables")]
        yield "paired", ["paired", *which, *listed, *records, "--out", str(folder / "paired")]
        yield "figures", ["figures", *which, *records, *costs, "--out", str(folder / "figures")]
        yield "report", ["report", "--results", "results", "--experiments", which[1], *listed, "--manifests", manifest,
                         "--data-root", "data", "--out", "results/report.html"]  # fmt: skip

    def _made_by(self, stage: stages.Stage) -> list[Job]:
        return [job for job in self.jobs if job.stage is stage]

    def evaluation(self, variant: str) -> Job:
        """The job that tests a variant."""
        tests = self._made_by(stages.EVALUATE)
        return next(job for job in tests if isinstance(job.about, Evaluation) and job.about.run.variant == variant)

    def records(self, variant: str) -> list[dict[str, Any]]:
        """What the metrics file of a variant says."""
        return io.read_json(self.folder / self.evaluation(variant).outputs["metrics"], "metrics")["records"]
