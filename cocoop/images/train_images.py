"""What a training reads: the image features of its views, from files that must fit the run and one another."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from cocoop import io
from cocoop.errors import UserError
from cocoop.images import feature_file
from cocoop.images.sources import Cached, Source
from cocoop.splits import class_subset

ALIKE = ("manifest", "preprocessing")  # what all view files of a run, and the test features of its dataset, must share


class Inputs(NamedTuple):
    """images: features or pixels by epoch; labels (S, N) inside the subset; class names of the subset; made: how the views were
    made."""

    images: Source
    labels: Tensor
    classnames: list[str]
    made: dict[str, Any]


def load_views(settings: Mapping[str, Any], paths: Sequence[Path], backbone: str, device: torch.device) -> Inputs:
    """Reads the files of a run's view ranges, in order.

    backbone: fingerprint of the weights the views must have been made with. Raises UserError for a file of other settings, seeds,
    weights or precision, for files made from different lists of images, and for views that are missing or not finite.
    """
    expect = {key: settings[key] for key in ("dataset", "subset", "shots")} | made_with(settings, backbone)
    parts, facts = [], []
    for path in paths:
        tensors, metadata = feature_file.load(path, "views", expect)
        expect |= {key: metadata[key] for key in ALIKE}
        if missing := set(settings["seeds"]) - set(metadata["seeds"]):
            raise UserError(f"{path}: has no views of seed {min(missing)}; delete it and run again.")
        parts.append(torch.stack([tensors[f"seed{seed}.features"] for seed in settings["seeds"]]))
        facts.append(metadata)
    _check_epochs(paths, [metadata["epochs"] for metadata in facts], settings["views"])
    labels = torch.stack([tensors[f"seed{seed}.labels"] for seed in settings["seeds"]])
    features = torch.cat(parts, 1)  # (S, V, N, E)
    names = facts[0]["classnames"]
    subset = [names[label] for label in class_subset(range(len(names)), settings["subset"])]
    if not torch.isfinite(features).all():
        raise UserError(
            f"{paths[0]}: features of {settings['dataset']} hold NaN or infinity; delete the file and run again."
        )
    made = {key: facts[0][key] for key in ALIKE} | {"views": io.sha256_text(io.canonical_json([settings, *facts]))}
    made["notes"] = facts[0].get("notes", [])  # what the dataset's manifest remarks, for those who test elsewhere
    return Inputs(Cached(features.to(device)), labels.to(device), subset, made)


def made_with(settings: Mapping[str, Any], fingerprint: str) -> dict[str, str]:
    """What a file of features must say of the backbone of a run."""
    backbone = settings["backbone"]
    return {"backbone": backbone["name"], "backbone_fingerprint": fingerprint, "precision": backbone["precision"]}


def _check_epochs(paths: Sequence[Path], found: Sequence[Sequence[int] | None], views: int) -> None:
    """The files hold views 0 to V, each once; plain images are one file without epochs."""
    here = [epoch for edges in found if edges for epoch in range(*edges)]
    if here != list(range(views)) or (not views and len(found) != 1):
        raise UserError(f"--views {' '.join(map(str, paths))}: hold views {here}, but this run uses {views} from 0 on.")
