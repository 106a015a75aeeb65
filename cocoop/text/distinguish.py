"""Which classes a backbone's text tower cannot tell apart: their zero-shot prompts have the same text feature.

A small vocabulary is the usual reason: the bundled tiny CLIP has the same vector for every word it was not trained on.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.errors import UserError, listed
from cocoop.text.text_encoder import TextEncoder, whole

SAME = 0.9999  # cosine; features that differ only in rounding are nearer, in bf16 too
ROWS_AT_ONCE = 1024
MOST_GROUPS, MOST_NAMES = 3, 4


@torch.no_grad()
def zero_shot_features(text: TextEncoder, classnames: Sequence[str], template: str) -> Tensor:
    """Text features (C, E) of the hand-crafted prompts; a prompt that is too long is a UserError."""
    encoder = text.encoder(text.templated(classnames, template))
    nothing = torch.zeros(1, 0, text.width, dtype=text.dtype, device=text.device)
    return encoder(nothing)[0]


def groups(features: Tensor) -> list[list[int]]:
    """Rows of features (C, E) that point the same way: each group of two or more, by the first row they equal."""
    directions, found = F.normalize(features.float(), dim=-1), dict[int, list[int]]()
    group_of: list[int] = []
    for rows in directions.split(ROWS_AT_ONCE):
        with torch.autocast(rows.device.type, enabled=False):  # bf16 has three digits, which is not enough here
            same = rows @ directions.T > SAME
        same.diagonal(len(group_of)).fill_(True)  # a feature of zeros or NaN equals nothing, not even itself
        for row, first in enumerate(same.int().argmax(1).tolist(), start=len(group_of)):  # argmax gives the first
            group_of.append(group_of[first] if first < row else row)
            found.setdefault(group_of[row], []).append(row)
    return [members for members in found.values() if len(members) > 1]


def sentence(features: Tensor, classnames: Sequence[str], backbone: str, dataset: str) -> str | None:
    """What a reader of results must know, None if all classes have text features (C, E) of their own."""
    found = groups(features)
    if not found:
        return None
    names = [
        " = ".join(classnames[i] for i in group[:MOST_NAMES]) + " = .." * (len(group) > MOST_NAMES) for group in found
    ]
    return (
        f"the backbone {backbone} gives {sum(map(len, found))} of {len(classnames)} classes of {dataset} the same text feature "
        f"as another class ({listed(names, MOST_GROUPS)}): it cannot tell them apart zero-shot, and results on them mean little"
    )


def warnings(text: TextEncoder, classnames: Sequence[str], template: str, backbone: str, dataset: str) -> list[str]:
    """The sentence for a dataset's zero-shot prompts, if any; none where a prompt is too long, which zero-shot CLIP reports."""
    try:
        features = zero_shot_features(text, classnames, template)
    except UserError:
        return []
    return list(filter(None, [sentence(features, classnames, backbone, dataset)]))


def check(backbone: Mapping[str, Any], classnames: Sequence[str], template: str, dataset: str) -> str:
    """A line for `dataset check` about a backbone (its settings), which is loaded for this alone."""
    name = backbone["name"]
    try:
        features = zero_shot_features(whole({**backbone, "precision": "fp32"}), classnames, template)
    except UserError as error:
        return f"problem: {error}"
    if found := sentence(features, classnames, name, dataset):
        return f"problem: {found}"
    return f"text features: the backbone {name} tells all {len(classnames)} classes apart"
