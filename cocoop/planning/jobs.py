"""All jobs of a plan with their files and commands, for workflow/rules and `status`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config.draw import shots_text
from cocoop.config.specs import DatasetSpec
from cocoop.data.download.state import again
from cocoop.planning import stages
from cocoop.planning.content import configuration_content, experiment_content
from cocoop.planning.draws import fewshot
from cocoop.planning.job import VALIDATION, Files, Job, Views, once, views_of
from cocoop.planning.plan import Plan
from cocoop.run import Evaluation, Run, seeds_text


def jobs_of(plan: Plan) -> list[Job]:
    """All jobs in the order of the stages, each with the experiments that need it."""
    return list(Jobs(plan).all())


class Jobs:
    """Creates the jobs of a plan."""

    def __init__(self, plan: Plan) -> None:
        self.plan, self.root = plan, plan.config["data_root"]
        self._ids = {name: io.identity(spec.settings) for name, spec in plan.backbones.items()}
        self._again: dict[str, str] = {}
        self.made: dict[tuple, Job] = {}
        self._found: dict[tuple, tuple[Job, list[str]]] = {}

    def all(self) -> Iterator[Job]:
        """All jobs, sorted by stage and log."""
        for name in self.plan.experiments:
            for job in self._of_experiment(name):
                self._found.setdefault(job.key, (job, []))[1].append(name)
        jobs = [replace(job, experiments=tuple(names)) for job, names in self._found.values()]
        jobs += self._of_configuration()
        yield from sorted(jobs, key=lambda job: (stages.ORDER.index(job.stage), job.log))

    def text_tower(self, backbone: str) -> Job:
        wildcards = {"backbone": backbone, "id": self._ids[backbone]}
        out = stages.TEXT_TOWER.outputs["text_tower"].format(**wildcards)
        return Job(
            stages.TEXT_TOWER, backbone, wildcards, {},
            lambda: ["--backbone", self._settings(backbone), "--out", out],
        )  # fmt: skip

    def download(self, spec: DatasetSpec) -> Job:
        wildcards = {"data_root": self.root, "dataset": spec.name, "id": spec.source}
        stamp = stages.DOWNLOAD.outputs["stamp"].format(**wildcards, again="{again}")
        if spec.name not in self._again:
            self._again[spec.name] = again(spec, Path(self.root), stamp)
        ending = self._again[spec.name]
        out = stamp.format(again=ending)
        return Job(
            stages.DOWNLOAD, spec.name, wildcards | {"again": ending}, {},
            lambda: ["--dataset", _json(spec, spec.source_settings), "--data-root", self.root, "--out", out],
        )  # fmt: skip

    @once
    def manifest(self, spec: DatasetSpec) -> Job:
        wildcards = {"dataset": spec.name, "id": spec.data}
        out = stages.MANIFEST.outputs["manifest"].format(**wildcards)
        return Job(
            stages.MANIFEST, spec.name, wildcards, {"stamp": self.download(spec).outputs["stamp"]},
            lambda: ["--dataset", _json(spec, spec.data_settings), "--data-root", self.root, "--out", out],
        )  # fmt: skip

    def fewshot(self, drawn: Views | Run, seed: int) -> Job:
        key = ("fewshot", drawn.dataset, drawn.subset, drawn.shots, drawn.draw.images, drawn.seeds, seed)
        if key not in self.made:
            spec = self.plan.datasets[drawn.dataset]
            self.made[key] = fewshot(spec, self.manifest(spec).outputs["manifest"], drawn, seed)
        return self.made[key]

    def features(self, backbone: str, spec: DatasetSpec, local: bool = False) -> Job:
        wildcards = {"backbone": backbone, "dataset": spec.name}
        wildcards["id"] = io.identity(self._ids[backbone], spec.data, *["local"] * local)
        inputs = {**self._encoder(backbone), "manifest": (manifest := self.manifest(spec).outputs["manifest"])}
        out = stages.FEATURES.outputs["features"].format(**wildcards)
        return Job(
            stages.FEATURES, spec.name, wildcards, inputs,
            lambda: [*self._encoding(backbone, spec), *["--local"] * local, "--manifest", manifest, "--out", out], local=local,
        )  # fmt: skip

    def views(self, views: Views) -> Job:
        spec = self.plan.datasets[views.dataset]
        draw = views.subset, views.shots, views.seeds, *filter(None, [views.draw.settings]), *["local"] * views.local
        wildcards = {
            "backbone": views.backbone, "dataset": views.dataset, "subset": views.subset, "shots": shots_text(views.shots),
            "seeds": seeds_text(views.seeds), "views": views.name,
            "id": io.identity(self._ids[views.backbone], spec.data, *draw),
        }  # fmt: skip
        drawn = tuple(self.fewshot(views, seed).outputs["fewshot"] for seed in views.seeds)
        manifest = self.manifest(spec).outputs["manifest"]
        inputs = {**self._encoder(views.backbone), "manifest": manifest, "fewshot": drawn}
        out = stages.VIEWS.outputs["views"].format(**wildcards)
        which = [*(("--epochs", *map(str, views.epochs)) if views.epochs else ()), *["--local"] * views.local]
        which += ["--split", "val"] * (views.kind == VALIDATION)
        return Job(
            stages.VIEWS, views, wildcards, inputs,
            lambda: [*self._encoding(views.backbone, spec), "--subset", views.subset, *which, "--manifest", manifest,
                     "--fewshot", *drawn, "--out", out], local=views.local,
        )  # fmt: skip

    def _settings(self, backbone: str) -> str:
        return io.canonical_json(self.plan.backbones[backbone].settings)

    def _encoder(self, backbone: str) -> dict[str, Files]:
        """Inputs of the image encoder. The text encoder's job downloads the weights, because it has internet access."""
        return {"fetched": self.text_tower(backbone).outputs["text_tower"]}

    def _encoding(self, backbone: str, spec: DatasetSpec) -> list[str]:
        return ["--backbone", self._settings(backbone), "--root", f"{self.root}/{spec.folder}"]

    def train(self, run: Run) -> Job:
        spec, wildcards = self.plan.datasets[run.dataset], self._run_wildcards(run)
        inputs: dict[str, Files] = {"text_tower": self.text_tower(run.backbone.name).outputs["text_tower"]}
        for name, read in views_of(run).items():
            inputs |= {name: tuple(self.views(views).outputs["views"] for views in read)}
        if run.inputs == "images":
            inputs["manifest"] = self.manifest(spec).outputs["manifest"]
            inputs["fewshot"] = tuple(self.fewshot(run, seed).outputs["fewshot"] for seed in run.seeds)
        if run.temperature != "none" and (trained := self.plan.without_temperature(run)):
            inputs["trained"] = self.train(trained).outputs["learned"]
        if run.descriptions:
            inputs["descriptions"] = str(spec.descriptions)
        root = ["--root", f"{self.root}/{spec.folder}"] if run.inputs == "images" else []
        out = stages.TRAIN.outputs["learned"].format(**wildcards).rpartition("/")[0]
        return Job(
            stages.TRAIN, run, wildcards, inputs,
            lambda: ["--run", run.to_json(), *_options(inputs), *root, "--out", out],
        )  # fmt: skip

    def evaluate(self, evaluation: Evaluation) -> Job:
        run, spec = evaluation.run, self.plan.datasets[evaluation.target]
        wildcards = {
            **self._run_wildcards(run), "target": evaluation.target, "subsets": evaluation.subsets_text,
            "test": evaluation.identity,
        }  # fmt: skip
        inputs: dict[str, Files] = {
            "text_tower": self.text_tower(run.backbone.name).outputs["text_tower"],
            "manifest": self.manifest(spec).outputs["manifest"],
        }
        if run.inputs == "features":
            inputs["features"] = self.features(run.backbone.name, spec, run.local).outputs["features"]
        if run.trainable:
            inputs["learned"] = stages.TRAIN.outputs["learned"].format(**wildcards)
        if evaluation.descriptions:
            inputs["descriptions"] = str(spec.descriptions)
        root = ["--root", f"{self.root}/{spec.folder}"] if run.inputs == "images" else []
        out = stages.EVALUATE.outputs["metrics"].format(**wildcards).rpartition("/")[0]
        return Job(
            stages.EVALUATE, evaluation, wildcards, inputs,
            lambda: ["--evaluation", evaluation.to_json(), *_options(inputs), *root, "--out", out],
        )  # fmt: skip

    def _run_wildcards(self, run: Run) -> dict[str, str]:
        return {
            "backbone": run.backbone.name, "dataset": run.dataset, "subset": run.subset, "variant": run.variant,
            "shots": shots_text(run.shots), "seeds": run.seeds_text, "id": run.identity,
        }  # fmt: skip

    def _of_experiment(self, name: str) -> Iterator[Job]:
        evaluations = sorted(set(self.plan.evaluations_of(self.plan.experiments[name])), key=lambda e: e.order)
        runs = self.plan.trained(evaluations)
        yield from map(self.text_tower, self.plan.backbones)
        for dataset in sorted({run.dataset for run in runs} | {e.target for e in evaluations}):
            yield self.download(self.plan.datasets[dataset])
            yield self.manifest(self.plan.datasets[dataset])
        for run in runs:
            for seed in run.seeds:
                yield self.fewshot(run, seed)
            for views in {views for read in views_of(run).values() for views in read}:
                yield self.views(views)
        trainings = [self.train(run) for run in runs]
        yield from trainings
        cached = {(e.run.backbone.name, e.target, e.run.local) for e in evaluations if e.run.inputs == "features"}
        for backbone, target, local in sorted(cached):
            yield self.features(backbone, self.plan.datasets[target], local)
        tests = [self.evaluate(evaluation) for evaluation in evaluations]
        yield from tests
        yield from self._summary(name, runs, trainings, tests)

    def content(self, name: str) -> Job:
        """The job that records what an experiment consists of."""
        content = experiment_content(self.plan, name)
        wildcards = {"experiment": name, "id": io.identity(content)}
        out = stages.CONTENT.outputs["experiment"].format(**wildcards)
        return Job(
            stages.CONTENT, name, wildcards, {}, lambda: ["--settings", io.canonical_json(content), "--out", out]
        )

    def _summary(self, name: str, runs: Sequence[Run], trainings: Sequence[Job], tests: Sequence[Job]) -> Iterator[Job]:
        yield (content := self.content(name))
        of_experiment = {"experiment": content.outputs["experiment"]}
        metrics = {"metrics": tuple(job.outputs["metrics"] for job in tests)}
        drawn = {self.fewshot(run, seed) for run in runs for seed in run.seeds}
        fewshot = {"fewshot": tuple(sorted(job.outputs["fewshot"] for job in drawn))}
        collect = Job(stages.COLLECT, name, {"experiment": name}, of_experiment | metrics | fewshot)
        records: dict[str, Files] = {**of_experiment, **collect.outputs}
        costs = {"costs": tuple(job.outputs["cost"] for job in [*trainings, *tests])}
        yield collect
        yield Job(stages.TABLES, name, {"experiment": name}, {**records, **costs})
        yield Job(stages.PAIRED, name, {"experiment": name}, {**records, **metrics})
        histories = {"histories": tuple(job.outputs["history"] for job in trainings)}
        yield Job(stages.FIGURES, name, {"experiment": name}, {**records, **costs, **histories, **metrics})

    def _of_configuration(self) -> Iterator[Job]:
        names = list(self.plan.experiments)
        content = configuration_content(self.plan, names)
        wildcards = {"id": io.identity(content)}
        out = stages.CONFIGURATION.outputs["configuration"].format(**wildcards)
        configuration = Job(
            stages.CONFIGURATION, "configuration", wildcards, {},
            lambda: ["--settings", io.canonical_json(content), "--out", out],
        )  # fmt: skip
        parts = tuple(
            path.format(experiment=name)
            for name in names
            for stage in (stages.TABLES, stages.FIGURES, stages.PAIRED)
            for path in stage.outputs.values()
        )
        inputs: dict[str, Files] = {
            **configuration.outputs,
            "experiments": tuple(self.content(name).outputs["experiment"] for name in names),
            "parts": parts,
            "metrics": tuple(self.evaluate(evaluation).outputs["metrics"] for evaluation in self.plan.evaluations),
            "manifests": tuple(self.manifest(spec).outputs["manifest"] for spec in self.plan.datasets.values()),
        }
        yield configuration
        yield Job(stages.PAGE, "report", {}, inputs)


def _options(inputs: Mapping[str, Files]) -> list[str]:
    """Each input as an option with the same name."""
    return [
        word
        for name, paths in inputs.items()
        for word in (f"--{name.replace('_', '-')}", *([paths] if isinstance(paths, str) else paths))
    ]


def _json(spec: DatasetSpec, settings: Mapping[str, Any]) -> str:
    """A dataset with the settings that decide a stage's result alone: Snakemake runs a job again when its command changes."""
    return io.canonical_json({"name": spec.name, "settings": settings})
