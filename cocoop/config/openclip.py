"""The models and tags that open_clip knows, read from its source files, because importing it takes seconds and loads torch."""

import ast
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from cocoop import places
from cocoop.config.architectures import package
from cocoop.errors import UserError, did_you_mean, unknown

CHECKPOINT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".ckpt", ".pth.tar")
QUICK_GELU = "-quickgelu"
HUB = "hf-hub:"
OR_PATH, OR_VALUES = "give the path of a checkpoint", "write mean, std, interpolation and resize_mode"


def check_names(backbone: Mapping[str, Any], where: str) -> None:
    """Raises a UserError if a backbone's YAML names an unknown model or tag or a missing file.

    Checks names only if open_clip is installed. Loading the backbone checks the contents of its files, and whether the weights
    of a tag match the model's activation function.
    """
    if backbone["model"].startswith(HUB):
        return _check_hub(backbone, where)
    if "pretrained" not in backbone:
        raise UserError(
            f"{where}: key 'pretrained' is missing; only a model that starts with {HUB} has its weights in its repository."
        )
    if "revision" in backbone:
        raise UserError(f"{where}: revision: only a model that starts with {HUB} has one; remove the key.")
    model, pretrained = backbone["model"].replace("/", "-"), backbone["pretrained"]  # OpenAI writes ViT-B/16
    if backbone["model"].endswith(".json"):
        _check_file(backbone["model"], f"{where}: model")
    elif models() and model not in models():
        near = did_you_mean(model, models())
        raise UserError(
            f"{where}: model: open_clip has no model {backbone['model']!r}; open_clip.list_models() lists all.{near}"
        )
    if isinstance(backbone.get("preprocessing"), str) and models():
        _check_tag(backbone["preprocessing"], backbone["model"], f"{where}: preprocessing", OR_VALUES)
    if pretrained is None:
        return
    if "/" in pretrained or is_checkpoint(pretrained):
        _check_file(pretrained, f"{where}: pretrained")
    elif models():
        _check_tag(pretrained, backbone["model"], f"{where}: pretrained", OR_PATH)


def _check_hub(backbone: Mapping[str, Any], where: str) -> None:
    if not re.fullmatch(rf"{HUB}[\w.-]+/[\w.-]+", backbone["model"]):
        raise UserError(f"{where}: model: expected hf-hub:ORGANIZATION/NAME, got {backbone['model']!r}.")
    if backbone.get("pretrained") is not None:
        raise UserError(
            f"{where}: pretrained: the weights of {backbone['model']} are in its repository; remove the key."
        )
    if isinstance(backbone.get("preprocessing"), str):
        raise UserError(
            f"{where}: preprocessing: {backbone['model']} has no tags of open_clip; {OR_VALUES} or remove the key."
        )


def is_checkpoint(name: str) -> bool:
    """Whether a file name has the suffix of a checkpoint; the CoOp authors' code writes `model.pth.tar-50`."""
    return re.sub(r"-[0-9]+$", "", name).endswith(CHECKPOINT_SUFFIXES)


def _check_tag(tag: str, model: str, where: str, instead: str) -> None:
    known = tags(model.replace("/", "-").removesuffix(QUICK_GELU))
    if not known:
        raise UserError(f"{where}: {model} has no tags in open_clip; {instead} instead of {tag!r}.")
    if tag.lower().replace("-", "_") not in known:
        raise unknown(f"{model} tag", tag, known, where)


def _check_file(name: str, where: str) -> None:
    if not places.found(name):
        raise UserError(f"{where}: {name}: no such file; paths are relative to the working folder or the repository.")


@cache
def models() -> frozenset[str]:
    """Names of open_clip's architectures; empty if open_clip is not installed."""
    folder = package()
    return frozenset(path.stem for path in (folder / "model_configs").glob("*.json")) if folder else frozenset()


@cache
def tags(model: str) -> frozenset[str]:
    """Names of a model's pretrained weights, including those for QuickGELU; empty if open_clip is not installed."""
    folder = package()
    if not folder:
        return frozenset()
    body = ast.parse((folder / "pretrained.py").read_bytes()).body
    tables = {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    table = _entries(tables.get("_PRETRAINED"))
    entry = table.get(model)
    return frozenset(_entries(tables.get(entry.id) if isinstance(entry, ast.Name) else entry))


def _entries(node: ast.AST | None) -> dict[str, ast.AST]:
    """Keys and values of a dict in source code: {"key": value} or dict(key=value)."""
    if isinstance(node, ast.Dict):
        return {
            str(key.value): value
            for key, value in zip(node.keys, node.values, strict=True)
            if isinstance(key, ast.Constant)
        }
    return {word.arg: word.value for word in node.keywords if word.arg} if isinstance(node, ast.Call) else {}
