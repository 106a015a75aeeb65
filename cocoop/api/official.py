"""Checkpoints of the authors' code (CoOp, CoCoOp; saved by Dassl), read and written.

A file is `prompt_learner/model.pth.tar-EPOCH`: state_dict, epoch, optimizer, scheduler, val_result. Its state_dict holds `ctx`,
CoCoOp's `meta_net`, and the embeddings of the class names (`token_prefix`, `token_suffix`), which the authors' code deletes
before it loads the rest. It names neither backbone nor classes: the embeddings prove that both fit.
"""

import io as byte_io
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cocoop import io
from cocoop.api import inert, towers
from cocoop.api.embeddings import check, embedded, names_of, same_suffix
from cocoop.api.prompt import Prompt
from cocoop.api.recipe import Recipe
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, listed
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.text.prompts import POSITIONS
from cocoop.text.text_encoder import TextEncoder

FOLDER, NEWEST = "prompt_learner", "checkpoint"
FILE = re.compile(r".*\.pth\.tar(-\d+)?")
META_NET = tuple(f"meta_net.linear{layer}.{part}" for layer in (1, 2) for part in ("weight", "bias"))
OF_CLASSES = ("token_prefix", "token_suffix")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds. learned: tensors by name; suffix: embeddings (C, L - 1 - M, D) of the class names, or None."""

    path: Path
    learned: Mapping[str, Tensor]
    suffix: Tensor | None
    epoch: int | None

    @property
    def contexts(self) -> int:
        """M."""
        return self.learned["ctx"].shape[-2]

    @property
    def csc(self) -> bool:
        """Whether each class has a context of its own."""
        return self.learned["ctx"].ndim == 3

    @property
    def variant(self) -> str:
        return "cocoop" if len(self.learned) > 1 else "coop"


def locate(path: Path) -> Path | None:
    """The checkpoint at a path: a file by its name, or the newest one in a folder `prompt_learner` or around it; else None."""
    if not path.is_dir():
        return path if FILE.fullmatch(path.name) else None
    folder = path / FOLDER if (path / FOLDER).is_dir() else path
    if not (found := sorted(folder.glob("model*.pth.tar*"))):
        return None
    if (folder / NEWEST).is_file():
        name = (folder / NEWEST).read_text(encoding="utf-8", errors="replace").strip()
        if folder / name not in found:
            raise UserError(
                f"{folder / NEWEST}: names {name[:100]!r}, which is not in its folder; name the file itself."
            )
        return folder / name
    if len(found) > 1:
        raise UserError(f"{folder}: has several checkpoints ({listed(f.name for f in found)}); name the file itself.")
    return found[0]


def read(
    path: Path,
    backbone: str | BackboneSpec | None,
    classnames: Sequence[str] | None,
    words: str | None,
    position: str,
    device: str,
) -> tuple[Recipe, dict[str, Tensor]]:
    """The recipe and the learned tensors of a checkpoint; arguments as of `loading.load`.

    Raises a UserError for a file of another kind and for a backbone or class names that its embeddings contradict.
    """
    found = checkpoint(path)
    if backbone is None:
        raise UserError(f"{path}: the file does not name its backbone; give it: backbone='vit_b16', for example.")
    if position not in POSITIONS:
        raise UserError(f"position {position!r}: expected one of {', '.join(POSITIONS)}.")
    if found.variant == "cocoop" and position != "end":
        raise UserError(f"{path}: CoCoOp has no position of the class name; leave it out.")
    spec = towers.spec_of(backbone, "load: backbone")
    text = towers.load(towers.fitting(spec, device, None), device).text
    if text.tokenizer.oddity:
        raise UserError(
            f"{path}: the authors' code knows CLIP's tokenizer only, but backbone {spec.name!r} has another."
        )
    params = _params(found, text, words, position)
    if classnames is not None:
        names = tuple(classnames)
    elif found.suffix is not None:
        names = names_of(found.suffix, text, str(path))
    else:
        raise UserError(f"{path}: holds no embeddings of class names; give classnames.")
    if found.suffix is not None:
        check(found.suffix, text, names, found.contexts, words, str(path))
    if found.csc and len(found.learned["ctx"]) != len(names):
        raise UserError(
            f"{path}: has contexts of {len(found.learned['ctx'])} classes, but {len(names)} class names are given."
        )
    origin = {"checkpoint": {"file": path.name, "sha256": io.sha256_file(path), "epoch": found.epoch}}
    recipe = Recipe.of_variant(found.variant, spec, str(path), params=params, classnames=names, origin=origin)
    return recipe, dict(found.learned)


def checkpoint(path: Path) -> Checkpoint:
    """Reads a file without running anything from it. Raises a UserError if it is no checkpoint of CoOp or CoCoOp."""
    content = inert.load(path)
    state = content.get("state_dict") if isinstance(content, Mapping) else None
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise UserError(f"{path}: holds no state_dict of tensors, so it is no checkpoint of CoOp or CoCoOp.")
    learned = {name: tensor.detach() for name, tensor in state.items() if name not in OF_CLASSES}
    shaped = _shapes_fit(learned)
    if set(learned) not in ({"ctx"}, {"ctx", *META_NET}) or not shaped:
        raise UserError(
            f"{path}: expected the tensors of CoOp (ctx) or CoCoOp (ctx and meta_net), got {listed(sorted(learned), 6)}."
        )
    if odd := [name for name, tensor in learned.items() if not tensor.isfinite().all()]:
        raise UserError(f"{path}: {odd[0]} holds NaN or infinity.")
    epoch = content.get("epoch")
    suffix = state.get("token_suffix")
    return Checkpoint(path, learned, suffix, epoch if isinstance(epoch, int) else None)


def _shapes_fit(learned: Mapping[str, Tensor]) -> bool:
    ctx = learned.get("ctx")
    if ctx is None or not all(tensor.is_floating_point() for tensor in learned.values()):
        return False
    if len(learned) == 1:
        return ctx.ndim in (2, 3) and ctx.numel() > 0
    sizes = [tensor.ndim for name, tensor in learned.items() if name in META_NET]
    return ctx.ndim == 2 and ctx.numel() > 0 and sorted(sizes) == [1, 1, 2, 2]


def _params(found: Checkpoint, text: TextEncoder, words: str | None, position: str) -> dict[str, Any]:
    """The method's parameters. Raises a UserError for widths of another backbone and for words of another number."""
    width = found.learned["ctx"].shape[-1]
    if width != text.width:
        raise UserError(
            f"{found.path}: its context is {width} wide, but the backbone's tokens are {text.width}; it was trained with another."
        )
    if words is not None and len(words.replace("_", " ").split(" ")) != found.contexts:
        raise UserError(
            f"{found.path}: has {found.contexts} context vectors, but the words {words!r} are of another number."
        )
    params: dict[str, Any] = {"n_ctx": found.contexts, "ctx_init": words}
    if found.variant == "coop":
        return params | {"class_token_position": position, "csc": found.csc}
    hidden, embed_dim = found.learned[META_NET[0]].shape
    if embed_dim != text.embed_dim:
        raise UserError(
            f"{found.path}: its Meta-Net takes features of width {embed_dim}, but the backbone's are {text.embed_dim}; "
            "it was trained with another."
        )
    return params | {"reduction": max(1, embed_dim // hidden)}


def write(prompt: Prompt, folder: Path) -> tuple[Path, str]:
    """Writes a prompt in the authors' layout; returns the file and the options with which their code tests it.

    Raises a UserError for a method that does not classify like CoOp or CoCoOp, and for a folder with other checkpoints.
    """
    state, options = state_dict(prompt)
    run = prompt.recipe.origin.get("run") or {}
    epoch = (run.get("training") or {}).get("epochs") or prompt.recipe.origin.get("checkpoint", {}).get("epoch") or 1
    content = {"state_dict": state, "epoch": epoch, "optimizer": None, "scheduler": None, "val_result": None}
    buffer = byte_io.BytesIO()
    torch.save(content, buffer)
    file = Path(folder) / FOLDER / f"model.pth.tar-{epoch}"
    if file.parent.exists() and any(file.parent.iterdir()) and not _same(file, buffer.getvalue()):
        raise UserError(f"{file.parent}: holds other checkpoints; export into a new folder.")
    io.write_bytes(file, buffer.getvalue())
    io.write_text(file.with_name(NEWEST), f"{file.name}\n")
    return file, f"--model-dir {folder} --load-epoch {epoch} --eval-only {options}"


def _same(file: Path, content: bytes) -> bool:
    return file.is_file() and file.read_bytes() == content


def state_dict(prompt: Prompt) -> tuple[OrderedDict[str, Tensor], str]:
    """The state_dict of the authors' prompt learner, with its keys in their order, and the options of their code."""
    method, text, names = prompt.method, prompt.towers.text, prompt.classnames
    kind = next(
        (kind for kind in (CoOp, CoCoOp) if getattr(type(method), "for_classes", None) is kind.for_classes), None
    )
    learned = {name: tensor.cpu().contiguous() for name, tensor in prompt.tensors.items()}
    if kind is None or set(learned) not in ({"ctx"}, {"ctx", *META_NET}) or text.tokenizer.oddity:
        raise UserError(
            f"{prompt.recipe.variant}: the authors' layout holds CoOp and CoCoOp with CLIP's tokenizer only; leave out --layout."
        )
    contexts, params = learned["ctx"].shape[-2], prompt.recipe.params
    # Their code learns a shared context from words even with CSC (coop.py:72-90), so contexts of classes need CTX_INIT ''.
    words = None if params.get("csc") else params["ctx_init"]
    if words != params["ctx_init"] and not same_suffix(text, names, contexts, params["ctx_init"]):
        raise UserError(
            f"{prompt.recipe.variant}: the authors' code knows no class-specific contexts with words that the tokenizer splits."
        )
    tokens = embedded(text, names, contexts, words).to(learned["ctx"].dtype).cpu()  # (C, L, D)
    state = OrderedDict(ctx=learned["ctx"])
    state["token_prefix"], state["token_suffix"] = tokens[:, :1].clone(), tokens[:, 1 + contexts :].clone()
    state |= {name: learned[name] for name in META_NET if name in learned}
    trainer = "COOP" if kind is CoOp else "COCOOP"
    options = f"--trainer {kind.__name__} TRAINER.{trainer}.N_CTX {contexts}"
    options += f" TRAINER.{trainer}.CTX_INIT '{words or ''}'"
    if kind is CoOp:
        options += (
            f" TRAINER.COOP.CSC {params['csc']} TRAINER.COOP.CLASS_TOKEN_POSITION {params['class_token_position']}"
        )
    return state, options
