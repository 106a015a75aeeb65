"""The runs and evaluations of a configuration and of each of its experiments."""

from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any

from cocoop.config import paper
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, ExperimentSpec, VariantSpec
from cocoop.config.validation import validate
from cocoop.errors import UserError, unknown
from cocoop.planning import checks, misplaced
from cocoop.planning.prompts import Prompts, prompts_of
from cocoop.run import Evaluation, Run

MOST_VIEWS = 10_000
MOST_VIEWS_WITHOUT_EPOCHS = 10


class Plan:
    """A validated configuration with its runs and evaluations. Does not import torch."""

    def __init__(
        self, config: Mapping[str, Any], registry: Registry | None = None, where: str = "configuration"
    ) -> None:
        misplaced.check(config, where)
        validate(config, "config", where)
        self.config, self.where = config, where
        self._made: dict[tuple, Run] = {}
        self._tested: dict[tuple, Evaluation] = {}
        self.contents: dict[str, dict[str, Any]] = {}  # results of `cocoop.planning.content.experiment_content`
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
        if content.get("reference") is not None:
            self.registry.variant(content["reference"], f"{place}.reference")
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        return ExperimentSpec(name=name, **({"paper": None, "reference": None} | settings))

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
            checks.movable(evaluation, self.variant_of(evaluation.run), self.where)
            checks.selectable(evaluation.run, self.datasets[evaluation.run.dataset], self.where)

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
        variant = variant.on(dataset, shots)
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
            training=variant.training,
            selection=variant.selection,
            views=self._views(variant),
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

    def _views(self, variant: VariantSpec) -> int:
        """V, the number of augmented views per image: one per epoch, up to the configured limit; 0 without augmentation."""
        cap = self.config["views"]
        if not variant.trainable or variant.plain_views or cap == "plain":
            return 0
        epochs = variant.training.epochs if variant.training else MOST_VIEWS_WITHOUT_EPOCHS
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
