"""How CLIP-LoRA, MMA, MMRL and DePT read their authors' numbers."""

import re
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cocoop.methods.base import Batch, Method
from tests.methods.goldens import Case
from tests.methods.told import MAPLE_TENSORS, MOVEMENT, Settings, Terms, Told, maple_params, renamed


def lora_tensor(found: re.Match) -> str:
    tower = "image" if found[1] else "text"
    matrix = {"proj": "o"}.get(found[3], found[3][0])
    return f"{tower}_terms.{found[2]}.{matrix}.{'down' if found[4] == 'A' else 'up'}"


def lora_params(settings: Settings) -> dict[str, Any]:
    same = ("encoder", "matrices", "position", "rank", "alpha", "template")
    return {name: settings[name] for name in same} | {"dropout": 0.25 if "mask_seed" in settings else 0.0}


def lora_training(settings: Settings) -> dict[str, Any]:
    found = {
        "min_lr": 1e-6,
        "schedule": "step",
        "steps": settings["iterations"],
        "drop_last": False,
        "epochs": 1,
        "momentum": 0.0,
    }
    given = {key: settings["optimizer"][key] for key in ("lr", "weight_decay", "betas")}
    return found | given | {"optimizer": settings["optimizer"]["name"], "batch_size": settings["batch_size"]}


def lora_masks(method: Method, case: Case, moment: str) -> None:
    """The masks by the goldens' formula: tokens first, one count of forward passes for each matrix."""
    if "mask_seed" not in case.settings:
        return
    passes: dict[str, int] = {}

    def drawn(tower: str, layer: int, matrix: str, tokens: int, sequences: int, width: int) -> Tensor:
        name = f"{tower}transformer.resblocks.{layer}.attn.{'proj' if matrix == 'o' else matrix + '_proj'}"
        step = passes[name] = passes.get(name, -1) + 1
        seed = (zlib.crc32(name.encode()) + case.settings["mask_seed"] + step) % 2**32
        kept = np.random.RandomState(seed).random_sample((tokens, sequences, width)) >= 0.25
        return torch.from_numpy(kept / 0.75).float().transpose(0, 1)[None]  # (1, sequences, tokens, width)

    def text(layer: int, matrix: str) -> Callable[[int, int], Tensor] | None:
        if not method.training:
            return None
        factors = drawn("", layer, matrix, method.text.context_length, len(case.classnames), method.text.width)
        return lambda classes, length: factors[:, :, :length]

    def image(layer: int, matrix: str) -> Callable[[Tensor], Tensor] | None:
        if not method.training:
            return None
        architecture = case.clip["architecture"]
        tokens = 1 + (architecture["image_size"] // architecture["vision_patch_size"]) ** 2
        return lambda x: x * drawn("visual.", layer, matrix, tokens, x.shape[1], x.shape[3])[:, :, : x.shape[2]]

    method.text_dropout, method.image_dropout = text, image


def mma_tensor(found: re.Match) -> str:
    tower, layer, part, kind = found.groups()
    if tower == "shared":
        return f"shared.{int(layer) - 1}.{kind}"
    return f"{ {'text': 'text', 'visual': 'image'}[tower] }_adapters.{int(layer) - 1}.{part}.{kind}"


def mma_params(settings: Settings) -> dict[str, Any]:
    names = {"start": "adapter_start", "end": "adapter_end", "dim": "adapter_dim", "scale": "adapter_scale"}
    return {own: settings[name] for own, name in names.items()} | {"template": settings["template"]}


def mmrl_params(settings: Settings) -> dict[str, Any]:
    names = {"n_tokens": "n_rep_tokens", "dim": "rep_dim", "layers": "rep_layers", "alpha": "alpha"}
    return {own: settings[name] for own, name in names.items()} | {"reg_weight": settings["reg_weight"]}


def mmrl_arrays(method: Method, classify: Any, batch: Batch) -> dict[str, Tensor]:
    seen, text = method.seen(batch.inputs), classify.features()
    logits, second = (classify.logits(features, text) for features in seen)
    teacher = method.text.zero_shot(method.task.classnames, method.task.template)[None]
    return {
        "image_features": seen.image, "image_features_rep": seen.representation, "text_features": text,
        "teacher_image": batch.frozen, "teacher_text": teacher,
        "logits": logits, "logits_rep": second, "logits_fusion": classify.mixed(logits, second),
    }  # fmt: skip


def mmrl_terms(settings: Settings, images: int) -> Terms:
    alpha = settings["alpha"]
    terms: Terms = {"ce_class_token": ("class_token", alpha), "ce_representation": ("representation", 1 - alpha)}
    return terms | {
        f"cos_{part}": (part, -settings["reg_weight"], settings["reg_weight"]) for part in ("image", "text")
    }


def dept_params(settings: Settings) -> dict[str, Any]:
    share = {"share": settings["linear_weight"]}
    if settings["method"] == "DePT on MaPLe":
        return share | maple_params(settings)
    of_coop = {"class_token_position": settings.get("position", "end"), "csc": False}
    return share | of_coop | {"n_ctx": settings["n_ctx"], "ctx_init": settings.get("ctx_init")}


def dept_terms(settings: Settings, images: int) -> Terms:
    share = settings["linear_weight"]
    return {"ce_similarity": ("similarity", 1 - share), "ce_linear": ("linear", share)}


def dept_arrays(method: Method, classify: Any, batch: Batch) -> dict[str, Tensor]:
    image = classify.image(batch.inputs)
    linear = method.head.linear(method.head.image(image))
    similarity = classify.logits(image, classify.features())
    logits = {"logits_similarity": similarity, "logits_linear": linear}
    return {"image_features": image, "text_features": classify.raw()} | logits


DEPT_TENSORS = (
    (r"film_lp_img\.scale", "head.image.scale"),
    (r"film_lp_img\.bias", "head.image.shift"),
    (r"film_lp_text\.scale", "head.text.scale"),
    (r"film_lp_text\.bias", "head.text.shift"),
    (r"linear_probe_proj\.(\w+)", r"head.linear.\1"),
)


def dept(settings: Settings) -> Told:
    """On CoOp or on MaPLe, whose prompts have different names."""
    variant = {"DePT on CoOp": "dept", "DePT on MaPLe": "dept_maple"}[settings["method"]]
    prompts = MAPLE_TENSORS if variant == "dept_maple" else ((r"prompt_learner\.ctx", "ctx"),)
    return Told(lambda _: variant, dept_params, renamed(*prompts, *DEPT_TENSORS), dept_terms, dept_arrays)


TOLD_LAYERS = {
    "clip_lora": Told(
        lambda settings: "clip_lora_text" if settings["encoder"] == "text" else "clip_lora",
        lora_params,
        renamed((r"(visual\.)?transformer\.resblocks\.(\d+)\.attn\.(\w+)\.w_lora_(A|B)", lora_tensor)),
        training=lora_training,
        prepare=lora_masks,
        # With a small rate, most of what AdamW moves are elements with gradients near zero.
        movement=lambda case: MOVEMENT if case.settings["optimizer"]["lr"] > 1e-3 else 5e-2,
    ),
    "mma": Told(
        lambda settings: "mma",
        mma_params,
        renamed(
            (r"adapter_learner\.(shared)_adapter\.(\d+)\.(0)\.(\w+)", mma_tensor),
            (r"adapter_learner\.(text|visual)_adapter\.(\d+)\.(down|up)(?:\.0)?\.(\w+)", mma_tensor),
        ),
    ),
    "mmrl": Told(
        lambda settings: "mmrl",
        mmrl_params,
        renamed(
            (r"representation_learner\.compound_rep_tokens", "tokens"),
            (r"representation_learner\.compound_rep_tokens_r2vproj\.(\d+)\.(\w+)", r"to_image.\1.\2"),
            (r"representation_learner\.compound_rep_tokens_r2tproj\.(\d+)\.(\w+)", r"to_text.\1.\2"),
            (r"image_encoder\.proj_rep", "projection"),
        ),
        mmrl_terms,
        mmrl_arrays,
        tested="logits_fusion",
    ),
    "dept": dept,
}
