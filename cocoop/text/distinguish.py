"""Finds classes that a backbone's text encoder cannot tell apart: their zero-shot prompts have the same text feature.

The usual reason is a small vocabulary: the bundled tiny CLIP has the same vector for all words outside its training data.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.errors import UserError, listed
from cocoop.text.text_encoder import TextEncoder, whole

SAME = 0.9999  # cosine similarity; features that differ only by rounding are closer, even in bf16
ROWS_AT_ONCE = 1024
MOST_GROUPS, MOST_NAMES = 3, 4


@torch.no_grad()
def zero_shot_features(text: TextEncoder, classnames: Sequence[str], template: str) -> Tensor:
    """Text features (C, E) of the hand-crafted prompts. Raises a UserError for a prompt that is too long."""
    encoder = text.encoder(text.templated(classnames, template))
    nothing = torch.zeros(1, 0, text.width, dtype=text.dtype, device=text.device)
    return encoder(nothing)[0]


def groups(features: Tensor) -> list[list[int]]:
    """Groups of two or more rows of features (C, E) that have the same direction as the group's first row."""
    directions, found = F.normalize(features.float(), dim=-1), dict[int, list[int]]()
    group_of: list[int] = []
    for rows in directions.split(ROWS_AT_ONCE):
        with torch.autocast(rows.device.type, enabled=False):  # the three digits of bf16 are not enough here
            same = rows @ directions.T > SAME
        same.diagonal(len(group_of)).fill_(True)  # a feature of zeros or NaN is not even equal to itself
        for row, first in enumerate(same.int().argmax(1).tolist(), start=len(group_of)):  # argmax returns the first
            group_of.append(group_of[first] if first < row else row)
            found.setdefault(group_of[row], []).append(row)
    return [members for members in found.values() if len(members) > 1]


def sentence(features: Tensor, classnames: Sequence[str], backbone: str, dataset: str) -> str | None:
    """A warning for readers of the results; None if all text features (C, E) differ."""
    found = groups(features)
    if not found:
        return None
    names = [
        " = ".join(classnames[i] for i in group[:MOST_NAMES]) + " = .." * (len(group) > MOST_NAMES) for group in found
    ]
    return (
        f"the backbone {backbone} gives {sum(map(len, found))} of {len(classnames)} classes of {dataset} the same text feature "
        f"as another class ({listed(names, MOST_GROUPS)}): zero-shot, it cannot tell them apart, so results on them mean little"
    )


def warnings(text: TextEncoder, classnames: Sequence[str], template: str, backbone: str, dataset: str) -> list[str]:
    """The warning for a dataset's zero-shot prompts as a list; empty if a prompt is too long, which zero-shot CLIP reports."""
    try:
        features = zero_shot_features(text, classnames, template)
    except UserError:
        return []
    return list(filter(None, [sentence(features, classnames, backbone, dataset)]))


def check(backbone: Mapping[str, Any], classnames: Sequence[str], template: str, dataset: str) -> str:
    """A line for `dataset check` about a backbone, which is loaded for this purpose; backbone: its settings."""
    name = backbone["name"]
    try:
        features = zero_shot_features(whole({**backbone, "precision": "fp32"}), classnames, template)
    except UserError as error:
        return f"problem: {error}"
    if found := sentence(features, classnames, name, dataset):
        return f"problem: {found}"
    return f"text features: the backbone {name} tells all {len(classnames)} classes apart"
