"""The contents of configuration.json and experiment.json: what a configuration and each of its experiments consist of."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cocoop import io
from cocoop.config import BackboneSpec, paper
from cocoop.planning import draws
from cocoop.planning.plan import Plan
from cocoop.planning.stages import CONTENT
from cocoop.run import Evaluation


def configuration_content(plan: Plan, experiments: Sequence[str]) -> dict[str, Any]:
    """Content of configuration.json: the experiments of a configuration with the identities of their contents."""
    return {
        "backbones": list(plan.backbones),
        "experiments": {name: io.identity(experiment_content(plan, name)) for name in experiments},
    }


def experiment_content(plan: Plan, name: str) -> dict[str, Any]:
    """Content of experiment.json: everything that tables and figures need, and the keys of all expected records.

    made_with: digest of all settings that affect its numbers, so that different settings give a different file.
    place of a variant: its position among all variants of the configuration, which decides its look in figures.
    expected: the records of each backbone.
    """
    if name not in plan.contents:
        plan.contents[name] = _content(plan, name)
    return plan.contents[name]


def _content(plan: Plan, name: str) -> dict[str, Any]:
    spec = plan.experiments[name]
    evaluations, first = _sorted(plan.evaluations_of(spec)), next(iter(plan.backbones.values()))
    variants = [plan.registry.variant(variant, plan.where) for variant in spec.variants]
    every = list(dict.fromkeys(name for experiment in plan.experiments.values() for name in experiment.variants))
    return {
        "name": spec.name,
        "title": spec.title,
        "table": spec.table,
        "caption": spec.caption,
        "paper": spec.paper,
        "paper_numbers": paper.digest(spec.paper),
        "measures": list(spec.measures),
        "paper_measures": {name: paper.digest(name) for name in spec.paper_measures},
        "reference": spec.reference,
        "backbones": [_backbone(backbone) for backbone in plan.backbones.values()],
        "variants": [
            {
                "name": v.name,
                "label": v.label,
                "method": v.method,
                "trainable": v.trainable,
                "place": every.index(v.name),
            }
            for v in variants
        ],
        "train_datasets": [{"name": n, "title": plan.datasets[n].title} for n in spec.train_datasets],
        "train_subset": spec.train_subset,
        "targets": [{"name": n, "title": plan.datasets[n].title} for n in spec.targets],
        "target_subsets": list(spec.target_subsets),
        "shots": list(spec.shots),
        "drawn": draws.described(spec),
        "seeds": list(plan.config["seeds"]),
        "made_with": io.identity([evaluation.identity for evaluation in evaluations]),
        "expected": [
            key for evaluation in evaluations for key in _records(evaluation) if evaluation.run.backbone == first
        ],
    }


def _backbone(spec: BackboneSpec) -> dict[str, Any]:
    facts: dict[str, Any] = {"name": spec.name, "label": spec.label}
    if spec.imagenet_zero_shot:
        facts["imagenet_zero_shot"] = dict(zip(("accuracy", "source"), spec.imagenet_zero_shot, strict=True))
    return facts


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
                "draw": run.draw.text,
                "seed": seed,
                "target": evaluation.target,
                "target_subset": subset,
            }
