"""How methods that change both towers read their authors' numbers: names, settings and tolerances."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from cocoop.methods.base import Batch, Method
from tests.methods.goldens import Case

LOGITS, LOSS, NORM, MOVEMENT, FEATURES = (
    5e-4,
    1e-4,
    1e-3,
    2e-3,
    1e-4,
)  # far above the noise of fp32, far below any mistake
Settings = Mapping[str, Any]
Terms = dict[str, tuple[str, float] | tuple[str, float, float]]


def features_of(method: Method, classify: Any, batch: Batch) -> dict[str, Tensor]:
    """The features of a classifier by cosine similarity; compared by direction."""
    return {"image_features": classify.image(batch.inputs), "text_features": classify.features()}


def training_of(settings: Settings) -> dict[str, Any]:
    given = settings["optimizer"]
    found = {"momentum": given.get("momentum", 0.0), "optimizer": given["name"]}
    found |= {key: given[key] for key in ("lr", "weight_decay", "warmup_epochs", "warmup_lr", "betas") if key in given}
    return found | {"epochs": settings["epochs"], "batch_size": settings["batch_size"]}


@dataclass(frozen=True)
class Told:
    """How a method here reads a golden case.

    variant: a registered variant.
    params: of the class.
    tensor: our name of an official tensor.
    terms: official name of a loss term -> our name, the factor that ours has for a number of images, and what is added.
    arrays: the tensors at the given parameters by their golden names (with S in front); logits are compared as they are, others
        by the direction of their last dimension.
    training: settings of the optimizer and the schedule.
    prepare: called with the method before each pass at the given parameters, and before a training, to replace random numbers.
    tested: the golden array of the classifier's logits among the classes trained on.
    movement: tolerance of what the training moves.
    """

    variant: Callable[[Settings], str]
    params: Callable[[Settings], dict[str, Any]]
    tensor: Callable[[str], str]
    terms: Callable[[Settings, int], Terms] = lambda settings, images: {}
    arrays: Callable[[Method, Any, Batch], dict[str, Tensor]] = features_of
    training: Callable[[Settings], dict[str, Any]] = training_of
    prepare: Callable[[Method, Case, str], None] = lambda method, case, moment: None
    tested: str = "logits"
    movement: Callable[[Case], float] = lambda case: MOVEMENT


def renamed(*rules: tuple[str, str | Callable[[re.Match], str]]) -> Callable[[str], str]:
    """A function that renames by the first of these regular expressions that matches the whole name."""

    def rename(name: str) -> str:
        for pattern, ours in rules:
            if found := re.fullmatch(pattern, name):
                return found.expand(ours) if isinstance(ours, str) else ours(found)
        raise AssertionError(f"no rule for the golden tensor {name}")

    return rename


def words_of(settings: Settings) -> str | None:
    """The authors' code draws contexts of more than four tokens at random (maple.py:82)."""
    return (settings.get("ctx_init") or None) if settings.get("n_ctx", settings.get("text_n_ctx")) <= 4 else None


MAPLE_TENSORS = (
    (r"prompt_learner\.ctx", "prompts.0"),
    (r"prompt_learner\.proj\.(\w+)", r"projections.0.\1"),
    (r"prompt_learner\.compound_prompts_text\.(\d+)", lambda m: f"prompts.{int(m[1]) + 1}"),
    (r"prompt_learner\.compound_prompt_projections\.(\d+)\.(\w+)", lambda m: f"projections.{int(m[1]) + 1}.{m[2]}"),
)


def maple_params(settings: Settings) -> dict[str, Any]:
    return {"n_ctx": settings["n_ctx"], "ctx_init": words_of(settings), "depth": settings["prompt_depth"]}
