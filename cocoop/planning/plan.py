"""The runs and evaluations of a configuration and of each of its experiments."""

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config import paper
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, ExperimentSpec, TrainingSpec, VariantSpec
from cocoop.config.validation import validate
from cocoop.errors import UserError, unknown
from cocoop.planning.prompts import Prompts, prompts_of
from cocoop.planning.stages import CONTENT
from cocoop.run import Evaluation, Run

MOST_VIEWS = 10_000
MOST_VIEWS_WITHOUT_EPOCHS = 10


class Plan:
    """A validated configuration with its runs and evaluations. Does not import torch."""

    def __init__(
        self, config: Mapping[str, Any], registry: Registry | None = None, where: str = "configuration"
    ) -> None:
        validate(config, "config", where)
        self.config, self.where = config, where
        self._made: dict[tuple, Run] = {}
        self._tested: dict[tuple, Evaluation] = {}
        self.contents: dict[str, dict[str, Any]] = {}  # results of `experiment_content`
        self.registry = registry or Registry(overrides=config.get("variants"), where=where)
        self.backbone: BackboneSpec = self.registry.backbone(config["backbone"], f"{where}: backbone")
        self.papers = paper.names()
        self.experiments = {name: self._experiment(name, over) for name, over in experiments_of(config).items()}
        self.datasets: dict[str, DatasetSpec] = self.registry.datasets(self._dataset_names(), f"{where}: datasets")
        self._check()

    def _experiment(self, name: str, over: Mapping[str, Any]) -> ExperimentSpec:
        place = f"{self.where}: experiments.{name}"
        content = {**self.registry.read("experiments", name, f"{self.where}: experiments"), **over}
        validate(content, "experiment", place)
        if content.get("paper") not in (None, *self.papers):
            raise unknown("paper table", content["paper"], self.papers, f"{place}.paper")
        for variant in content["variants"]:
            self.registry.variant(variant, f"{place}.variants")
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return ExperimentSpec(name=name, **({"paper": None} | settings))

    def _dataset_names(self) -> list[str]:
        return sorted({n for e in self.experiments.values() for n in (*e.train_datasets, *e.targets)})

    def _check(self) -> None:
        for experiment in self.experiments.values():
            place = f"{self.where}: experiments.{experiment.name}"
            for name in experiment.train_datasets:
                trains = any(self.registry.variant(v, place).trainable for v in experiment.variants)
                if trains and self.datasets[name].test_only:
                    raise UserError(f"{place}.train_datasets: {name!r} is for testing only; move it to targets.")
        for evaluation in self.evaluations:
            self._check_movable(evaluation)

    def _check_movable(self, evaluation: Evaluation) -> None:
        run = evaluation.run
        moved = evaluation.target != run.dataset or set(evaluation.subsets) != {run.subset}
        if moved and self.variant_of(run).class_bound:
            raise UserError(
                f"{self.where}: variant {run.variant!r} is tied to the classes it was trained on "
                f"({run.dataset}/{run.subset}) and cannot be tested on {evaluation.target}/{evaluation.subsets_text}."
            )

    def seed_blocks(self) -> list[tuple[int, ...]]:
        """The seeds in blocks of `seeds_per_job`. A seed added at the end does not change complete blocks."""
        seeds, size = self.config["seeds"], self.config["seeds_per_job"]
        return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]

    def evaluations_of(self, experiment: ExperimentSpec) -> Iterator[Evaluation]:
        """The evaluations of an experiment. An untrained variant has one per target, regardless of the training datasets."""
        for dataset in experiment.train_datasets:
            for target in experiment.targets or (dataset,):
                for name in experiment.variants:
                    for run in self._runs_of(experiment, name, dataset, target):
                        yield self._evaluation(run, target, experiment.target_subsets)

    def _runs_of(self, experiment: ExperimentSpec, variant: str, dataset: str, target: str) -> Iterator[Run]:
        spec = self.registry.variant(variant, self.where)
        if not spec.trainable:
            yield self._run(spec, target, "all", 0, (0,))
            return
        for shots in experiment.shots:
            for seeds in self.seed_blocks():
                yield self._run(spec, dataset, experiment.train_subset, shots, seeds)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations, sorted, without duplicates."""
        unique = {e for experiment in self.experiments.values() for e in self.evaluations_of(experiment)}
        return sorted(unique, key=lambda evaluation: evaluation.order)

    @cached_property
    def runs(self) -> list[Run]:
        """All trained runs, sorted, without duplicates."""
        return sorted({e.run for e in self.evaluations if e.run.trainable}, key=lambda run: run.order)

    def variant_of(self, run: Run) -> VariantSpec:
        return self.registry.variant(run.variant, self.where)

    def _run(self, variant: VariantSpec, dataset: str, subset: str, shots: int, seeds: tuple[int, ...]) -> Run:
        key = (variant.name, dataset, subset, shots, seeds)
        if key not in self._made:
            self._made[key] = self._new_run(variant, dataset, subset, shots, seeds)
        return self._made[key]

    def _new_run(self, variant: VariantSpec, dataset: str, subset: str, shots: int, seeds: tuple[int, ...]) -> Run:
        spec = self.datasets[dataset]
        training = variant.training_on(dataset, shots) if variant.trainable else None
        prompts = prompts_of(variant, spec, self.where) if variant.trainable else Prompts()
        return Run(
            backbone=self.backbone,
            dataset=dataset,
            data=spec.data,
            subset=subset,
            **prompts._asdict(),
            variant=variant.name,
            method=variant.method,
            implementation=variant.implementation,
            version=variant.version,
            code=variant.code,
            inputs=variant.inputs,
            stacked=variant.stacked,
            needs=variant.needs,
            params=dict(variant.params),
            training=training,
            views=self._views(variant, training),
            shots=shots,
            seeds=seeds,
        )

    def _evaluation(self, run: Run, target: str, subsets: tuple[str, ...]) -> Evaluation:
        key = (run, target, subsets)
        if key not in self._tested:
            spec = self.datasets[target]
            prompts = prompts_of(self.variant_of(run), spec, self.where)
            self._tested[key] = Evaluation(run, target, spec.data, *prompts, subsets)
        return self._tested[key]

    def _views(self, variant: VariantSpec, training: TrainingSpec | None) -> int:
        """V, the number of augmented views per image: one per epoch, up to the configured limit; 0 without augmentation."""
        cap = self.config["views"]
        if not variant.trainable or variant.plain_views or cap == "plain":
            return 0
        epochs = training.epochs if training else MOST_VIEWS_WITHOUT_EPOCHS
        return min(epochs, MOST_VIEWS if cap == "per_epoch" else cap)


def experiments_of(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Names of experiments with the keys to replace, from a mapping or from a list of names and one-key mappings."""
    listed = config["experiments"]
    if isinstance(listed, Mapping):
        return {name: over or {} for name, over in listed.items()}
    return {
        name: over or {}
        for item in listed
        for name, over in (item.items() if isinstance(item, Mapping) else [(item, {})])
    }


def configuration_content(plan: Plan, experiments: Sequence[str]) -> dict[str, Any]:
    """Content of configuration.json: the experiments of a configuration with the identities of their contents."""
    return {
        "backbone": plan.backbone.name,
        "experiments": {name: io.identity(experiment_content(plan, name)) for name in experiments},
    }


def experiment_content(plan: Plan, name: str) -> dict[str, Any]:
    """Content of experiment.json: everything that tables and figures need, and the keys of all expected records.

    made_with: digest of all settings that affect its numbers, so that different settings give a different file.
    """
    if name not in plan.contents:
        plan.contents[name] = _content(plan, name)
    return plan.contents[name]


def _content(plan: Plan, name: str) -> dict[str, Any]:
    spec = plan.experiments[name]
    evaluations = _sorted(plan.evaluations_of(spec))
    variants = [plan.registry.variant(variant, plan.where) for variant in spec.variants]
    return {
        "name": spec.name,
        "title": spec.title,
        "table": spec.table,
        "caption": spec.caption,
        "paper": spec.paper,
        "paper_numbers": paper.digest(spec.paper),
        "backbone": {"name": plan.backbone.name, "label": plan.backbone.label},
        "variants": [
            {"name": v.name, "label": v.label, "method": v.method, "trainable": v.trainable} for v in variants
        ],
        "train_datasets": [{"name": n, "title": plan.datasets[n].title} for n in spec.train_datasets],
        "train_subset": spec.train_subset,
        "targets": [{"name": n, "title": plan.datasets[n].title} for n in spec.targets],
        "target_subsets": list(spec.target_subsets),
        "shots": list(spec.shots),
        "seeds": list(plan.config["seeds"]),
        "made_with": io.identity([evaluation.identity for evaluation in evaluations]),
        "expected": [key for evaluation in evaluations for key in _records(evaluation)],
    }


def experiment_file(plan: Plan, name: str) -> str:
    """The name of the file with `experiment_content`."""
    return Path(CONTENT.outputs["experiment"]).name.format(id=io.identity(experiment_content(plan, name)))


def _sorted(evaluations: Iterator[Evaluation]) -> list[Evaluation]:
    return sorted(set(evaluations), key=lambda evaluation: evaluation.order)


def _records(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    run = evaluation.run
    for seed in run.seeds:
        for subset in evaluation.subsets:
            yield {
                "dataset": run.dataset,
                "subset": run.subset,
                "variant": run.variant,
                "shots": run.shots,
                "seed": seed,
                "target": evaluation.target,
                "target_subset": subset,
            }
