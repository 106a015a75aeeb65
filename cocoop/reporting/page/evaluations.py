"""The evaluations of the experiments: their settings, their files, and where they ran."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cocoop import io, progress
from cocoop.reporting.records.experiment import of_each


@dataclass(frozen=True)
class Evaluated:
    """One evaluation of a block of runs.

    label: that of its variant; backbone: label of its backbone, empty if the page has only one; records, parameters: content
    of its metrics.json; files: the files to link to, by name; day: when it ran, such as 2026-11-28 (UTC), empty if its
    cost.json does not tell.
    """

    settings: Mapping[str, Any]
    label: str
    backbone: str
    parameters: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]
    folder: Path
    files: Mapping[str, Path]
    provenance: Mapping[str, Any]
    day: str

    @property
    def name(self) -> str:
        """Its variant, and its backbone if the page has several."""
        return f"{self.label} ({self.backbone})" if self.backbone else self.label

    @property
    def target(self) -> str:
        return self.records[0]["target"]

    @property
    def draw(self) -> str:
        """What differs from the authors' draw of the training images, as `Draw.text`."""
        return self.records[0].get("draw", "")

    @property
    def subsets(self) -> list[str]:
        return list(dict.fromkeys(record["target_subset"] for record in self.records))


def find(results: Path, metrics: Sequence[Path], experiments: Sequence[Mapping[str, Any]]) -> list[Evaluated]:
    """The evaluations of the metrics.json files that exist, with variants in the experiments' order."""
    labels = {variant["name"]: variant["label"] for experiment in experiments for variant in experiment["variants"]}
    backbones = {one["backbone"]["name"]: one["backbone"]["label"] for e in experiments for one in of_each(e)}
    shown = backbones if len(backbones) > 1 else {}
    found = [
        _evaluated(results, path, io.read_json(path, "metrics"), labels, shown)
        for path in progress.track([path for path in metrics if path.exists()], "report", "file")
    ]
    order, places = list(labels), list(backbones)

    def place(job: Evaluated) -> tuple:
        return (
            places.index(job.settings["backbone"]["name"]),
            order.index(job.settings["variant"]),
            _place(job.records[0]),
        )

    return sorted(found, key=place)


def _place(record: Mapping[str, Any]) -> tuple:
    return tuple(record[key] for key in ("dataset", "subset", "shots", "target", "seed", "target_subset"))


def _evaluated(
    results: Path, path: Path, content: Mapping[str, Any], labels: Mapping[str, str], backbones: Mapping[str, str]
) -> Evaluated:
    cost = path.with_name("cost.json")
    measured = io.read_json(cost, "cost") if cost.exists() else {}
    files = dict(_files(results, path.parent))
    label = labels[content["run"]["variant"]]
    backbone = backbones.get(content["run"]["backbone"]["name"], "")
    return Evaluated(
        content["run"], label, backbone, content["parameters"], content["records"], path.parent, files,
        measured.get("provenance", {}), measured.get("day", ""),
    )  # fmt: skip


def _files(results: Path, folder: Path) -> Iterator[tuple[str, Path]]:
    """The existing results in the folder of metrics.json, those of its training, and the logs of both, by name.

    The workflow writes the log of a job to results/logs, under the same path as the job's results in results/runs.
    """
    for name in ("metrics.json", "predictions.safetensors"):
        if (folder / name).exists():
            yield name, folder / name
    training = next((parent for parent in folder.parents if (parent / "learned.safetensors").exists()), None)
    if training is not None:
        yield "learned.safetensors", training / "learned.safetensors"
        yield "history.csv", training / "history.csv"
    for stage, place in (("train", training), ("evaluate", folder)):
        if place is None or not place.is_relative_to(results / "runs"):
            continue
        log = (results / "logs" / stage / place.relative_to(results / "runs")).with_suffix(".log")
        if log.exists():
            yield f"{stage}.log", log
