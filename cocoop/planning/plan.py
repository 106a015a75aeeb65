"""From a configuration to the jobs it needs: blocks of runs, their evaluations, and which experiment wants which."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

from cocoop import io
from cocoop.config import paper
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, ExperimentSpec, VariantSpec
from cocoop.config.validation import validate
from cocoop.errors import UserError, unknown

VIEW_LADDER = (0, 10, 50, 100, 200, 400, 800, 1600)
MOST_VIEWS = 10_000
MOST_VIEWS_WITHOUT_EPOCHS = 10


@dataclass(frozen=True, order=True)
class Block:
    """Runs of one variant that are trained in one process: all but the seed is the same."""

    dataset: str
    subset: str
    variant: str
    shots: int
    seeds: tuple[int, ...]

    @property
    def seeds_text(self) -> str:
        """The seeds as they stand in paths: 1-2-3."""
        return "-".join(map(str, self.seeds))


@dataclass(frozen=True, order=True)
class Evaluation:
    """A block applied to subsets of a target dataset."""

    block: Block
    target: str
    subsets: tuple[str, ...]

    @property
    def subsets_text(self) -> str:
        """The subsets as they stand in paths: base+new."""
        return "+".join(self.subsets)


class Plan:
    """A validated configuration and everything it asks for. Building it never imports torch."""

    def __init__(
        self, config: Mapping[str, Any], registry: Registry | None = None, where: str = "configuration"
    ) -> None:
        validate(config, "config", where)
        self.config, self.where = config, where
        self.registry = registry or Registry(overrides=config.get("variants"), where=where)
        self.backbone: BackboneSpec = self.registry.backbone(config["backbone"], f"{where}: backbone")
        self.papers = paper.names()
        self.experiments = {name: self._experiment(name, over or {}) for name, over in config["experiments"].items()}
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
        return ExperimentSpec(
            name=name, **{k: tuple(v) if isinstance(v, list) else v for k, v in {"paper": None, **content}.items()}
        )

    def _dataset_names(self) -> list[str]:
        return sorted({n for e in self.experiments.values() for n in (*e.train_datasets, *e.targets)})

    def _check(self) -> None:
        for experiment in self.experiments.values():
            place = f"{self.where}: experiments.{experiment.name}"
            for name in experiment.train_datasets:
                trains = any(self.registry.variant(v, place).trainable for v in experiment.variants)
                if trains and self.datasets[name].test_only:
                    raise UserError(f"{place}.train_datasets: {name!r} is for testing only; name it under targets.")
        for evaluation in self.evaluations:
            self._check_movable(evaluation)

    def _check_movable(self, evaluation: Evaluation) -> None:
        variant = self.variant_of(evaluation.block)
        moved = evaluation.target != evaluation.block.dataset or set(evaluation.subsets) != {evaluation.block.subset}
        if moved and variant.class_bound:
            raise UserError(
                f"{self.where}: what variant {variant.name!r} learns fits the classes it was trained on only "
                f"({evaluation.block.dataset}/{evaluation.block.subset}); it cannot be tested on "
                f"{evaluation.target}/{evaluation.subsets_text}."
            )

    def seed_blocks(self) -> list[tuple[int, ...]]:
        """The seeds in blocks of `seeds_per_job`, in the order given: a seed added at the end leaves full blocks as they are."""
        seeds, size = self.config["seeds"], self.config["seeds_per_job"]
        return [tuple(seeds[i : i + size]) for i in range(0, len(seeds), size)]

    def evaluations_of(self, experiment: ExperimentSpec) -> Iterator[Evaluation]:
        """What one experiment needs. An untrained variant has one evaluation per target, whatever was trained on."""
        for dataset in experiment.train_datasets:
            for target in experiment.targets or (dataset,):
                for name in experiment.variants:
                    trainable = self.registry.variant(name, self.where).trainable
                    if not trainable:
                        yield Evaluation(Block(target, "all", name, 0, (0,)), target, experiment.target_subsets)
                        continue
                    for shots in experiment.shots:
                        for seeds in self.seed_blocks():
                            block = Block(dataset, experiment.train_subset, name, shots, seeds)
                            yield Evaluation(block, target, experiment.target_subsets)

    @cached_property
    def evaluations(self) -> list[Evaluation]:
        """Every evaluation once, sorted."""
        return sorted({e for experiment in self.experiments.values() for e in self.evaluations_of(experiment)})

    @cached_property
    def blocks(self) -> list[Block]:
        """Every trained block once, sorted."""
        return sorted({e.block for e in self.evaluations if self.variant_of(e.block).trainable})

    def variant_of(self, block: Block) -> VariantSpec:
        return self.registry.variant(block.variant, self.where)

    def views_of(self, block: Block) -> int:
        """V, the number of augmented views an image has in this block: one an epoch unless capped; 0 for plain images."""
        variant = self.variant_of(block)
        cap, training = self.config["views"], variant.training_on(block.dataset, block.shots)
        if not variant.trainable or variant.plain_views or cap == "plain":
            return 0
        return min(
            training.epochs if training else MOST_VIEWS_WITHOUT_EPOCHS, MOST_VIEWS if cap == "per_epoch" else cap
        )

    def view_files(self, block: Block) -> list[str]:
        """Names of the view files a block reads, in order; runs of different length share the early ones. None for live images."""
        if self.variant_of(block).inputs == "images":
            return []
        return [f"views{start}-{stop}" for start, stop in view_ranges(self.views_of(block))] or ["plain"]

    def settings_of(self, block: Block) -> dict[str, Any]:
        """All that decides a block's numbers, resolved; the same settings give the same results."""
        variant = self.variant_of(block)
        training = variant.training_on(block.dataset, block.shots) if variant.trainable else None
        return {
            "backbone": self.backbone.settings,
            "dataset": block.dataset,
            "subset": block.subset,
            "variant": variant.name,
            "label": variant.label,
            "method": variant.method,
            "implementation": variant.implementation,
            "version": variant.version,
            "inputs": variant.inputs,
            "params": dict(variant.params),
            "training": vars(training) if training else None,
            "views": self.views_of(block),
            "shots": block.shots,
            "seeds": list(block.seeds),
        }


def view_ranges(views: int) -> list[tuple[int, int]]:
    """[0, views) cut at the steps of a fixed ladder: view_ranges(60) = [(0, 10), (10, 50), (50, 60)]."""
    return list(pairwise([*(edge for edge in VIEW_LADDER if edge < views), views]))


def experiment_content(plan: Plan, name: str) -> dict[str, Any]:
    """What tables and figures must know of an experiment, with every record that has to be there.

    made_with: sha256 of all settings that decide its numbers, so that a changed one can be told from this content alone.
    """
    spec = plan.experiments[name]
    evaluations = sorted(set(plan.evaluations_of(spec)))
    datasets = sorted({name for e in evaluations for name in (e.block.dataset, e.target)})
    settings = [
        [plan.settings_of(block) for block in sorted({e.block for e in evaluations})],
        {name: plan.datasets[name].settings for name in datasets},
    ]
    variants = [plan.registry.variant(variant, plan.where) for variant in spec.variants]
    return {
        "name": spec.name,
        "title": spec.title,
        "table": spec.table,
        "caption": spec.caption,
        "paper": spec.paper,
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
        "made_with": io.sha256_text(io.canonical_json(settings)),
        "expected": [key for evaluation in evaluations for key in _records(evaluation)],
    }


def _records(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    block = evaluation.block
    for seed in block.seeds:
        for subset in evaluation.subsets:
            yield {
                "dataset": block.dataset,
                "subset": block.subset,
                "variant": block.variant,
                "shots": block.shots,
                "seed": seed,
                "target": evaluation.target,
                "target_subset": subset,
            }
