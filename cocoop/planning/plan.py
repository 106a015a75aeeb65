"""The runs and evaluations of a configuration and of each of its experiments."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from itertools import product
from typing import Any

from cocoop.config import paper
from cocoop.config.draw import Draw, shots_of
from cocoop.config.experiment import ExperimentSpec
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, VariantSpec
from cocoop.config.validation import validate
from cocoop.errors import UserError, listed
from cocoop.planning import checks, draws, misplaced
from cocoop.planning.prompts import Prompts, prompts_of
from cocoop.run import Evaluation, Run
from cocoop.splits import with_half

MOST_VIEWS = 10_000
MOST_VIEWS_WITHOUT_EPOCHS = 10
BACKBONES = ("backbone", "backbones")  # of these keys, a configuration has one


class Plan:
    """A validated configuration with its runs and evaluations. Does not import torch."""

    def __init__(
        self, config: Mapping[str, Any], registry: Registry | None = None, where: str = "configuration"
    ) -> None:
        misplaced.check(config, where)
        validate(config, "config", where)
        self.config, self.where = config, where
        self._variants: dict[tuple, VariantSpec] = {}
        self._made: dict[tuple, Run] = {}
        self._tested: dict[tuple, Evaluation] = {}
        self.contents: dict[str, dict[str, Any]] = {}  # results of `cocoop.planning.content.experiment_content`
        self.registry = registry or Registry(overrides=config.get("variants"), where=where)
        self.backbones = self._backbones()
        self.papers = paper.names()
        self.experiments = {name: self._experiment(name, over) for name, over in experiments_of(config, where).items()}
        self.datasets: dict[str, DatasetSpec] = self.registry.datasets(self._dataset_names(), f"{where}: datasets")
        self._check()

    def _backbones(self) -> dict[str, BackboneSpec]:
        """The backbones by name, in the order in which tables show them."""
        key = next(iter(set(BACKBONES) & set(self.config)), "")
        names = backbones_of(self.config, self.where)
        over = {"precision": self.config["precision"]} if self.config.get("precision") else {}
        found = {name: replace(self.registry.backbone(name, f"{self.where}: {key}"), **over) for name in names}
        checks.distinct({name: spec.label for name, spec in found.items()}, f"{self.where}: backbones")
        return found

    def _experiment(self, name: str, over: Mapping[str, Any]) -> ExperimentSpec:
        place = f"{self.where}: experiments.{name}"
        content = {**self.registry.read("experiments", name, f"{self.where}: experiments"), **over}
        validate(content, "experiment", place)
        checks.drawable(content, place)
        checks.published(content, self.papers, place)
        for variant in content["variants"]:
            self.registry.variant(variant, f"{place}.variants")
        if content.get("reference") is not None:
            self.registry.variant(content["reference"], f"{place}.reference")
        checks.measurable(content, place)
        settings: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
        settings["shots"] = tuple(map(shots_of, content["shots"]))
        settings["halves"] = draws.halves_of(content.get("halves", "first"))
        return ExperimentSpec(name=name, **({"paper": None, "reference": None} | settings))

    def _dataset_names(self) -> list[str]:
        return sorted({n for e in self.experiments.values() for n in (*e.train_datasets, *e.targets)})

    def _check(self) -> None:
        variants = {name for experiment in self.experiments.values() for name in experiment.variants}
        labels = {name: self.registry.variant(name, self.where).label for name in sorted(variants)}
        checks.distinct(labels, f"{self.where}: variants")
        titles = {name: spec.title for name, spec in self.datasets.items()}
        checks.distinct(titles, f"{self.where}: datasets", "title")
        for experiment in self.experiments.values():
            place = f"{self.where}: experiments.{experiment.name}"
            for name in experiment.train_datasets:
                trains = any(self.registry.variant(v, place).trainable for v in experiment.variants)
                if trains and self.datasets[name].test_only:
                    raise UserError(f"{place}.train_datasets: {name!r} is for testing only; move it to targets.")
        for evaluation in self.evaluations:
            checks.movable(evaluation, self.variant_of(evaluation.run), self.where)
            checks.changeable(evaluation.run, self.where)
            checks.selectable(evaluation.run, self.datasets[evaluation.run.dataset], self.where)
            checks.drawable_on(evaluation.run, self.datasets[evaluation.run.dataset], self.where)

    @cached_property
    def together(self) -> bool:
        """Whether the tests on base and new classes also classify each image among the classes of the other half.

        One experiment that asks for it decides for all, so that experiments share their evaluations.
        """
        return any(experiment.together for experiment in self.experiments.values())

    def seed_blocks(self) -> list[tuple[int, ...]]:
        """The seeds in blocks of `seeds_per_job`. A seed added at the end does not change complete blocks."""
        seeds, size = self.config["seeds"], self.config["seeds_per_job"]
        return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]

    def evaluations_of(self, experiment: ExperimentSpec) -> Iterator[Evaluation]:
        """The evaluations of an experiment. An untrained variant has one per target, regardless of the training datasets."""
        for backbone, dataset in product(self.backbones, experiment.train_datasets):
            for target in experiment.targets or (dataset,):
                for name in experiment.variants:
                    for half in experiment.halves:
                        subsets = tuple(with_half(subset, half) for subset in experiment.target_subsets)
                        for run in self._runs_of(experiment, name, backbone, dataset, target, half):
                            yield self._evaluation(run, target, subsets)

    def _runs_of(
        self, experiment: ExperimentSpec, variant: str, backbone: str, dataset: str, target: str, half: int
    ) -> Iterator[Run]:
        spec = self.registry.variant(variant, self.where)
        if not spec.trainable:
            yield self._run(spec, backbone, target, "all", 0, (0,), Draw())
            return
        subset = with_half(experiment.train_subset, half)
        for shots in experiment.shots:
            for seeds, draw in draws.of_blocks(experiment, dataset, shots, self.seed_blocks()):
                yield self._run(spec, backbone, dataset, subset, shots, seeds, draw)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """All evaluations, sorted, without duplicates."""
        unique = {e for experiment in self.experiments.values() for e in self.evaluations_of(experiment)}
        return sorted(unique, key=lambda evaluation: evaluation.order)

    @cached_property
    def runs(self) -> list[Run]:
        """All trained runs, sorted, without duplicates."""
        return self.trained(self.evaluations)

    def trained(self, evaluations: Iterable[Evaluation]) -> list[Run]:
        """The trained runs of evaluations, sorted, without duplicates, with those whose logits a temperature divides."""
        runs = {e.run for e in evaluations if e.run.trainable}
        below = {self.without_temperature(run) for run in runs if run.temperature != "none"}
        return sorted(runs | {run for run in below if run}, key=lambda run: run.order)

    def variant_of(self, run: Run) -> VariantSpec:
        return self.registry.variant(run.variant, self.where)

    def _run(self, variant: VariantSpec, *rest: Any) -> Run:
        key = (variant.name, *rest)
        if key not in self._made:
            self._made[key] = self._new_run(variant, *rest)
        return self._made[key]

    def _new_run(
        self,
        variant: VariantSpec,
        backbone: str,
        dataset: str,
        subset: str,
        shots: int,
        seeds: tuple[int, ...],
        draw: Draw,
    ) -> Run:
        spec = self.datasets[dataset]
        variant = self._on(variant, dataset, shots)
        prompts = prompts_of(variant, spec, self.where) if variant.trainable else Prompts()
        return Run(
            backbone=self.backbones[backbone],
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
            draw=draw,
            temperature=variant.temperature,
        )

    def _on(self, variant: VariantSpec, dataset: str, shots: int) -> VariantSpec:
        """`VariantSpec.on`, once for all seeds."""
        key = (variant.name, dataset, shots)
        if key not in self._variants:
            self._variants[key] = variant.on(dataset, shots)
        return self._variants[key]

    def without_temperature(self, run: Run) -> Run | None:
        """The training whose logits a run's temperature divides; None if nothing is trained."""
        variant = self.variant_of(run)
        if variant.learns == "nothing":
            return None
        return replace(run, variant=variant.trained_as, temperature="none")

    def _evaluation(self, run: Run, target: str, subsets: tuple[str, ...]) -> Evaluation:
        key = (run, target, subsets)
        if key not in self._tested:
            spec = self.datasets[target]
            prompts = prompts_of(self.variant_of(run), spec, self.where)
            together = self.together and {"base", "new"} <= set(subsets)
            self._tested[key] = Evaluation(run, target, spec.data, *prompts, subsets, together)
        return self._tested[key]

    def _views(self, variant: VariantSpec) -> int:
        """V, the number of augmented views per image: one per epoch, up to the configured limit; 0 without augmentation."""
        cap = self.config["views"]
        if variant.learns == "nothing" or variant.plain_views or cap == "plain":
            return 0
        epochs = variant.training.epochs if variant.training else MOST_VIEWS_WITHOUT_EPOCHS
        return min(epochs, MOST_VIEWS if cap == "per_epoch" else cap)


def backbones_of(config: Mapping[str, Any], where: str) -> list[str]:
    """Names of the backbones: the list `backbones`, or `backbone`, which is short for a list of one."""
    if not set(BACKBONES) & set(config):
        raise UserError(f"{where}: top level: key 'backbone' is missing; name a backbone, or several in 'backbones'.")
    if set(BACKBONES) <= set(config):
        raise UserError(
            f"{where}: both backbone ({config['backbone']}) and backbones ({listed(config['backbones'])}) are there; keep "
            "one of the keys: `backbone: NAME` is short for `backbones: [NAME]`."
        )
    return config.get("backbones") or [config["backbone"]]


def experiments_of(config: Mapping[str, Any], where: str) -> dict[str, dict[str, Any]]:
    """Names of experiments with the keys to replace, from a mapping or from a list of names and one-key mappings."""
    wanted, found = config["experiments"], {}
    for item in [wanted] if isinstance(wanted, Mapping) else wanted:
        for name, over in item.items() if isinstance(item, Mapping) else [(item, {})]:
            if name in found:
                raise UserError(
                    f"{where}: experiments: {name!r} is listed twice; to run it with other keys too, copy its file under another "
                    "name in config/experiments, and name both."
                )
            found[name] = over or {}
    return found
