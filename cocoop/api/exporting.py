"""`export`: a folder with the tensors, the settings and a model card, which `load` and the Hugging Face Hub take."""

from pathlib import Path

from cocoop import io
from cocoop.api import official
from cocoop.api.card import card_of
from cocoop.api.loading import KIND, SETTINGS, TENSORS
from cocoop.api.prompt import Prompt
from cocoop.errors import UserError
from cocoop.places import expanded

CARD = "README.md"
LAYOUTS = ("ours", "official")


def export(prompt: Prompt, folder: str | Path, *, layout: str = "ours", licence: str = "unknown") -> Path:
    """Writes a prompt into a folder and returns the folder, or the file of the official layout.

    layout: ours, or official for checkpoints that the authors' code of CoOp and CoCoOp tests.
    licence: an identifier of the Hugging Face Hub for the model card, such as mit or cc-by-4.0.
    An earlier export in the folder is replaced. Raises a UserError for an untrained prompt and for a folder with other files.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r}: expected one of {', '.join(LAYOUTS)}.")
    if not prompt.tensors:
        raise UserError(f"{prompt.recipe.variant}: nothing was learned, so there is nothing to export.")
    folder = expanded(folder)
    if layout == "official":
        return official.write(prompt, folder)[0]
    _refuse_other_files(folder)
    recipe = prompt.recipe.to_dict()
    content = {"schema": 1, "kind": KIND, "recipe": recipe, "results": prompt.results}
    metadata = {"kind": KIND, "recipe": io.identity(recipe)}
    text = card_of(prompt, licence)
    io.write_tensors(folder / TENSORS, prompt.tensors, metadata)
    io.write_json(folder / SETTINGS, content)
    io.write_text(folder / CARD, text)
    return folder


def _refuse_other_files(folder: Path) -> None:
    """Raises a UserError for a folder with anything but an earlier export, whose README.md would be overwritten."""
    if not folder.exists():
        return
    if not folder.is_dir() or (any(folder.iterdir()) and not (folder / SETTINGS).is_file()):
        raise UserError(f"{folder}: exists and is no exported prompt; export into a new folder.")
    if (folder / SETTINGS).is_file():
        io.read_json(folder / SETTINGS, KIND)
