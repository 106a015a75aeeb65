"""`load`: a prompt from a run's folder, an exported folder, the Hugging Face Hub, or a checkpoint of the authors' code."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from cocoop import io
from cocoop.api import official, towers
from cocoop.api.prompt import Prompt, Sentences
from cocoop.api.recipe import Recipe
from cocoop.api.results import results_of
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError, listed
from cocoop.places import expanded
from cocoop.run import Run
from cocoop.training.run import LEARNED

logger = logging.getLogger(__name__)
RUN_FILE = f"{LEARNED}.safetensors"
SETTINGS, TENSORS, KIND = "settings.json", "prompt.safetensors", "prompt"
ON_THE_HUB = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
ZERO_SHOT = "clip"  # the variant
TEMPLATE = "a photo of a {}."


def load(
    source: str | Path,
    *,
    seed: int | None = None,
    backbone: str | BackboneSpec | None = None,
    classnames: Sequence[str] | None = None,
    templates: str | Sequence[str] | None = None,
    sentences: Sentences | None = None,
    words: str | None = None,
    position: str = "end",
    device: str = "auto",
    precision: str | None = None,
) -> Prompt:
    """Loads a learned prompt.

    source: a run's folder (results/runs/.../ID), a folder of `export`, a repository of the Hugging Face Hub (owner/name), or a
        checkpoint of CoOp or CoCoOp by the authors' code (model.pth.tar-N, or a folder around it).
    seed: which of the run's seeds; by default the first.
    backbone: the name of a file in config/backbones. A checkpoint needs it; an exported prompt may take it, if the weights are
        the same, where its own files are elsewhere.
    classnames: of a checkpoint, the classes it was trained on, in its order; by default they are read from its embeddings.
    templates: other hand-crafted prompts, for a method that uses some.
    sentences: sentences by class name, for a method that uses descriptions.
    words, position: of a checkpoint, the initial words (CTX_INIT) and the place of the class name (CLASS_TOKEN_POSITION).
    device: auto, cpu or cuda.
    precision: fp32, bf16, fp16 or reference-fp16; by default the backbone's, but fp32 instead of half precision on a CPU.
    Raises a UserError with one line for everything that is missing, damaged, unsafe, or does not belong together.
    """
    path = expanded(source)
    if found := official.locate(path):
        recipe, tensors = official.read(found, backbone, classnames, words, position, towers.device_of(device))
        where, results = str(found), list[dict[str, Any]]()
    else:
        if words or classnames or position != "end":
            raise UserError(f"{source}: classnames, words and position are only for checkpoints of the authors' code.")
        recipe, tensors, results, where = _ours(located(source), seed, backbone)
    recipe = recipe.trusted(where).with_templates(templates)
    if recipe.other_code():
        logger.warning(
            "%s: the code of %s has changed since it was learned; predictions may differ", where, recipe.method
        )
    return prompt_of(recipe, tensors, where, device, precision, sentences=sentences, results=results)


def prompt_of(
    recipe: Recipe, tensors: Mapping[str, Tensor], where: str, device: str, precision: str | None, **options: Any
) -> Prompt:
    """The prompt on a device. Raises a UserError if the recipe was made for other weights of its backbone."""
    chosen = towers.device_of(device)
    spec = towers.fitting(recipe.backbone, chosen, precision)
    loaded = towers.load(spec, chosen)
    half = [one.precision == "reference-fp16" for one in (spec, recipe.backbone)]  # its weights are others
    if recipe.fingerprint and half[0] == half[1] and loaded.image.fingerprint != recipe.fingerprint:
        raise UserError(
            f"{where}: was learned with other weights or another preprocessing of the backbone {spec.name!r} than those here."
        )
    if half[0] == half[1]:
        recipe = replace(recipe, fingerprint=loaded.image.fingerprint)
    return Prompt(recipe, loaded, tensors, where, **options)


def zero_shot(
    backbone: str | BackboneSpec,
    templates: str | Sequence[str] = TEMPLATE,
    *,
    device: str = "auto",
    precision: str | None = None,
) -> Prompt:
    """Zero-shot CLIP: nothing is learned, and the text features of a class are the average over the templates.

    backbone: the name of a file in config/backbones.
    """
    recipe = Recipe.of_variant(
        ZERO_SHOT, towers.spec_of(backbone, "zero_shot: backbone"), "zero_shot", templates=("{}",)
    )
    return prompt_of(recipe.with_templates(templates), {}, "zero_shot", device, precision)


def located(source: str | Path) -> Path:
    """The folder or file that a prompt is loaded from; a name of the Hugging Face Hub is downloaded into its cache."""
    path = expanded(source)
    if path.exists():
        return path
    if ON_THE_HUB.fullmatch(str(source)):
        return _downloaded(str(source))
    raise UserError(f"{path}: no such file or folder.")


def _downloaded(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return Path(snapshot_download(name, allow_patterns=[SETTINGS, TENSORS]))
    except (HfHubHTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise UserError(
            f"{name}: no such folder here, and not available from the Hugging Face Hub ({reason})."
        ) from error


def _ours(
    path: Path, seed: int | None, backbone: str | BackboneSpec | None
) -> tuple[Recipe, dict[str, Tensor], list[dict[str, Any]], str]:
    folder = path if path.is_dir() else path.parent
    if (folder / SETTINGS).is_file() and path.name != RUN_FILE:
        return _exported(folder, seed, backbone)
    file = folder / RUN_FILE
    if not file.is_file() or path not in (folder, file):
        raise UserError(
            f"{path}: no prompt; expected a run's folder with {RUN_FILE}, an exported folder with {SETTINGS}, or a checkpoint "
            "of the authors' code (model.pth.tar-N)."
        )
    if backbone is not None:
        raise UserError(f"{file}: a run states its backbone; leave out backbone.")
    return _of_run(file, seed)


def run_in(file: Path, metadata: Mapping[str, Any] | None = None) -> Run:
    """The run that a file of learned tensors states; metadata: that of the file, if it has been read."""
    stated = io.read_tensors(file, LEARNED)[1] if metadata is None else metadata
    return Run.from_dict(stated["run"], f"{file}: run")


def _of_run(file: Path, seed: int | None) -> tuple[Recipe, dict[str, Tensor], list[dict[str, Any]], str]:
    tensors, metadata = io.read_tensors(file, LEARNED)
    run = run_in(file, metadata)
    chosen = run.seeds[0] if seed is None else seed
    if chosen not in run.seeds:
        raise UserError(f"{file}: has no seed {seed}; it has {listed(run.seeds)}.")
    if seed is None and len(run.seeds) > 1:
        logger.info("%s: has the seeds %s; loads seed %d", file, listed(run.seeds), chosen)
    start = f"seed{chosen}."
    own = {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
    results = results_of(file.parent, run, chosen)
    on_white = metadata["made"].get("on_white", False)
    return Recipe.of_run(run, metadata["classnames"], chosen, on_white), own, results, str(file)


def _exported(
    folder: Path, seed: int | None, backbone: str | BackboneSpec | None
) -> tuple[Recipe, dict[str, Tensor], list[dict[str, Any]], str]:
    settings = io.read_json(folder / SETTINGS, KIND)
    where = str(folder / SETTINGS)
    if missing := {"recipe", "results"} - set(settings):
        raise UserError(f"{where}: key {min(missing)!r} is missing; export the prompt again.")
    recipe = Recipe.from_dict(settings["recipe"], where)
    tensors, metadata = io.read_tensors(folder / TENSORS, KIND)
    if metadata.get("recipe") != io.identity(settings["recipe"]):
        raise UserError(f"{folder / TENSORS}: does not belong to {where}; export the prompt again.")
    if seed not in (None, recipe.seed):
        raise UserError(f"{where}: has seed {recipe.seed} only, not {seed}.")
    if backbone is not None:
        spec = towers.spec_of(backbone, "load: backbone")
        recipe = replace(recipe, backbone=replace(spec, precision=recipe.backbone.precision))
    return recipe, tensors, settings["results"], where
