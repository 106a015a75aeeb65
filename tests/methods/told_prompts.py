"""Methods with prompts in both towers, which describe how their goldens are read (`told.Told`)."""

from typing import Any

import torch
from torch import Tensor

from cocoop.methods.base import Batch, Method
from tests.methods.goldens import Case
from tests.methods.told import MAPLE_TENSORS, Settings, Terms, Told, features_of, maple_params, renamed, words_of


def both_params(settings: Settings) -> dict[str, Any]:
    text = {"n_ctx": settings["text_n_ctx"], "ctx_init": words_of(settings), "depth": settings["text_depth"]}
    return text | {name: settings[name] for name in ("vision_n_ctx", "vision_depth")}


def ivlp_or_vpt(settings: Settings) -> str:
    """The authors' trainer of IVLP trains language prompts alone if the vision depth is 0."""
    if settings["method"] == "VPT":
        return "vpt"
    return "ivlp" if settings["vision_depth"] else "deep_language"


def ivlp_or_vpt_params(settings: Settings) -> dict[str, Any]:
    if settings["method"] == "VPT":
        return {name: settings[name] for name in ("vision_n_ctx", "vision_depth", "template")}
    found = both_params(settings)
    return found if settings["vision_depth"] else {name: found[name] for name in ("n_ctx", "ctx_init", "depth")}


INDEPENDENT_TENSORS = (
    (r"prompt_learner\.ctx", "text_prompts.0"),
    (r"text_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow", r"text_prompts.\1"),
    (r"image_encoder\.VPT", "image_prompts.0"),
    (r"image_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow", r"image_prompts.\1"),
)


def promptsrc_params(settings: Settings) -> dict[str, Any]:
    weights = {"text_weight": settings["text_loss_weight"], "image_weight": settings["image_loss_weight"]}
    names = ("teacher_templates", "gpa_mean", "gpa_std")
    return both_params(settings) | weights | {name: settings[name] for name in names}


def promptsrc_terms(settings: Settings, images: int) -> Terms:
    return {
        "ce": ("cross_entropy", 1),
        "l1_text": ("text", settings["text_loss_weight"]),
        "l1_image": ("image", settings["image_loss_weight"]),
        "kl_sum": ("logits", 1 / (images * len(settings["classnames"]))),
    }


def promptsrc_arrays(method: Any, classify: Any, batch: Batch) -> dict[str, Tensor]:
    teacher = method.text.zero_shot(method.task.classnames, method.templates, "raw")
    found = features_of(method, classify, batch)
    return found | {"teacher_text_mean": teacher[None], "teacher_image": batch.frozen}


class Drawn:
    """Noise from which the sentences of a golden are drawn."""

    def __init__(self, indices: list[int], sentences: int) -> None:
        self.values = iter([(index + 0.5) / sentences for index in indices])

    def restart(self, *moment: object) -> None:
        pass

    def uniform(self, *shape: int) -> Tensor:
        return torch.full((1, *shape), next(self.values))


def draw_sentences(method: Method, case: Case, moment: str) -> None:
    told = case.settings
    indices = [told["sentence_drawn_at_given"]] if moment == "at_given" else told["sentences_drawn"]
    method.noise = Drawn(indices, len(told["sentences"]))


def coprompt_params(settings: Settings) -> dict[str, Any]:
    adapters = {f"{tower}_ratio": settings["adapter_ratio"][tower] for tower in ("image", "text")}
    adapters |= {"reduction": settings["adapter_reduction"], "weight": settings["distill_weight"]}
    return maple_params(settings) | adapters


def coprompt_arrays(method: Any, classify: Any, batch: Batch) -> dict[str, Tensor]:
    """The golden features are those before the adapters."""
    image, text = (
        type(method).__base__.image_features(method, batch.inputs),
        method.prompts.features(method.task.classnames),
    )
    teacher = method.teacher[0].unflatten(0, (len(method.task.classnames), -1)).transpose(0, 1)
    found = {"image_features": image, "text_features": text()}
    return found | {"teacher_sentences": teacher[None], "teacher_image_mirrored": batch.second}


COPROMPT_TENSORS = (
    (r"adapter_(\w+)\.fc\.0\.weight", r"\1_adapter.down"),
    (r"adapter_(\w+)\.fc\.2\.weight", r"\1_adapter.up"),
)
TOLD_PROMPTS = {
    "maple": Told(lambda settings: "maple", maple_params, renamed(*MAPLE_TENSORS)),
    "ivlp_vpt": Told(ivlp_or_vpt, ivlp_or_vpt_params, renamed(*INDEPENDENT_TENSORS)),
    "promptsrc": Told(
        lambda settings: "promptsrc",
        promptsrc_params,
        renamed(*INDEPENDENT_TENSORS),
        promptsrc_terms,
        promptsrc_arrays,
    ),
    "coprompt": Told(
        lambda settings: "coprompt",
        coprompt_params,
        renamed(*MAPLE_TENSORS, *COPROMPT_TENSORS),
        lambda settings, images: {
            "ce": ("cross_entropy", 1),
            "distill_text": ("text", settings["distill_weight"]),
            "distill_image": ("image", settings["distill_weight"]),
        },
        coprompt_arrays,
        prepare=draw_sentences,
    ),
}
