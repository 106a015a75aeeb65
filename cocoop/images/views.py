"""Augmented views of the selected training images as cached features (`live.py` provides them as pixels).

Like the reference, it draws a new random crop of every image in every epoch. A view only depends on (seed, image, epoch), so
runs that differ in method, context or backbone use the same crops.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cocoop import provenance, splits
from cocoop.backbone.model import Backbone
from cocoop.backbone.transforms import view_key
from cocoop.config.draw import CLIP_LORA
from cocoop.errors import UserError
from cocoop.images import extraction, feature_file
from cocoop.images.decoding import Task
from cocoop.manifest import Manifest

KIND = "views"
SPLITS = {"train": "training", "val": "validation"}  # names of the splits in messages


@dataclass(frozen=True)
class Selected:
    """The few-shot images of a subset in draw order: paths relative to the dataset's folder, labels within the subset.

    on_white: whether transparent ones are pasted onto white.
    """

    paths: tuple[str, ...]
    labels: tuple[int, ...]
    on_white: bool = False

    @property
    def originals(self) -> list[int]:
        """For each image, the place of its first copy among them."""
        first: dict[str, int] = {}
        return [first.setdefault(path, place) for place, path in enumerate(self.paths)]


def select(manifest: Manifest, selection: Mapping[str, Any], subset: str, split: str = "train") -> Selected:
    """Restricts a selection of `splits.load_few_shot` to a subset.

    split: train for the few-shot images, val for the validation draw.
    Raises a UserError for a selection from another manifest.
    """
    if selection["manifest"] != manifest.fingerprint:
        raise UserError(
            f"dataset {manifest.dataset!r}: the selection of seed {selection['seed']} was drawn from another manifest; "
            "delete it and run again."
        )
    drawn_of = selection.get("subset", "all")
    if drawn_of not in ("all", subset):
        raise UserError(
            f"dataset {manifest.dataset!r}: the draw of seed {selection['seed']} has images of the {drawn_of!r} classes only, "
            f"but this run trains on {subset!r}; give a draw of these, or of all classes."
        )
    inside = {label: number for number, label in enumerate(splits.class_subset(manifest.labels("train"), subset))}
    items = [manifest.splits[split][at] for at in selection[split]]
    labels = selection["labels"] if split == "train" else [item.label for item in items]
    chosen = [(item.path, inside[label]) for item, label in zip(items, labels, strict=True) if label in inside]
    if not chosen:
        instead = "; a run can select on training images with `selection: hold_one_out`" if split == "val" else ""
        raise UserError(
            f"dataset {manifest.dataset!r} has no {SPLITS[split]} images in its {subset!r} subset{instead}."
        )
    paths, labels = tuple(path for path, _ in chosen), tuple(label for _, label in chosen)
    return Selected(paths, labels, manifest.on_white)


def extract(
    backbone: Backbone,
    manifest: Manifest,
    root: Path,
    selections: Mapping[int, Mapping[str, Any]],
    subset: str,
    epochs: range | None,
    out: Path,
    batch_size: int = extraction.BATCH_SIZE,
    workers: int = 0,
    split: str = "train",
    *,
    local: bool = False,
) -> None:
    """Writes `seed{S}.features` (V, N, E) float32, not normalised, and `seed{S}.labels` (N,) int64 for every seed S.

    selections: selections of `splits.load_few_shot` by seed.
    epochs: V epochs with one view each, or None for only the test transform (V = 1).
    split: train, or val for the validation draw.
    local: features (V, N, 1 + L, E) float16, the global one first.
    Images are in draw order, restricted to the subset; labels are within the subset. A stopped job continues from `<out>.parts`.
    """
    if not selections or (epochs is not None and not epochs):
        raise UserError(f"{out}: no views to make ({len(selections)} seeds, epochs {epochs}).")
    if split == "val" and epochs:
        raise UserError(f"{out}: validation images are not augmented; leave out --epochs.")
    selected = {seed: select(manifest, selection, subset, split) for seed, selection in selections.items()}
    images, spans = _tasks(Path(root), selected, epochs)
    shots = sorted({selection["shots"] for selection in selections.values()})
    if len(shots) > 1:
        raise UserError(f"{out}: selections of different shots ({', '.join(map(str, shots))}) cannot share a file.")
    metadata = {
        "kind": KIND,
        "schema": feature_file.SCHEMA,
        "dataset": manifest.dataset,
        "split": split,
        "subset": subset,
        "shots": shots[0],
        "seeds": list(selected),
        **{f"seed{seed}.draw": selection["draw"] for seed, selection in selections.items() if "draw" in selection},
        **_originals(selections, selected, split, epochs),
        "epochs": [epochs.start, epochs.stop] if epochs else None,
        "classnames": list(manifest.classnames),
        "manifest": manifest.fingerprint,
        **manifest.background,
        "notes": list(manifest.notes),
        "width": backbone.embed_dim,
        **({"local": True} if local else {}),
        **backbone.identity,
        "computed_on": provenance.computed_on(str(backbone.device)),
        "code": provenance.numeric_code(),
    }
    which = f"training views {epochs.start}-{epochs.stop}" if epochs else f"plain {SPLITS[split]} images"
    title = f"{manifest.dataset} {subset} {which} through {backbone.spec.name}"
    job = extraction.Job(backbone, images, Path(out), metadata, title, "view", batch_size, workers, local)
    labels = {f"seed{seed}.labels": np.array(of.labels, dtype=np.int64) for seed, of in selected.items()}
    extraction.run(job, labels, spans, flat=False)


def _originals(
    selections: Mapping[int, Mapping[str, Any]], selected: Mapping[int, Selected], split: str, epochs: range | None
) -> dict[str, list[int]]:
    """`Selected.originals` of plain training images, some of which may be held out, where the draw may repeat images."""
    if split != "train" or epochs:
        return {}
    repeating = [seed for seed, of in selections.items() if of.get("draw", {}).get("like") == CLIP_LORA]
    return {f"seed{seed}.originals": selected[seed].originals for seed in repeating}


def _tasks(
    root: Path, selected: Mapping[int, Selected], epochs: Sequence[int] | None
) -> tuple[list[Task], dict[str, range]]:
    """The tasks of all seeds, one seed after another, and the range of tasks of each seed."""
    found: list[Task] = []
    spans = {}
    for seed, images in selected.items():
        spans[f"seed{seed}.features"] = range(len(found), len(found) + len(images.paths))
        found += tasks(root, seed, images, epochs)
    return found, spans


def tasks(root: Path, seed: int, images: Selected, epochs: Sequence[int] | None) -> list[Task]:
    """The images of a seed with their views for these epochs, or with the test transform if epochs is None."""
    return [
        Task(root / path, tuple(view_key(seed, path, epoch) for epoch in epochs or ()), images.on_white)
        for path in images.paths
    ]
