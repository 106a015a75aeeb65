"""`export`: a folder with the tensors, the settings and a model card, which `load` and the Hugging Face Hub take."""

from pathlib import Path

from cocoop import io
from cocoop.api import official
from cocoop.api.card import card_of
from cocoop.api.loading import KIND, SETTINGS, TENSORS
from cocoop.api.prompt import Prompt
from cocoop.errors import UserError

CARD = "README.md"
LAYOUTS = ("ours", "official")


def export(prompt: Prompt, folder: str | Path, *, layout: str = "ours", licence: str = "unknown") -> Path:
    """Writes a prompt into a folder and returns the folder, or the file of the official layout.

    layout: ours, or official for checkpoints that the authors' code of CoOp and CoCoOp tests.
    licence: an identifier of the Hugging Face Hub for the model card, such as mit or cc-by-4.0.
    Raises a UserError for an untrained prompt, and for a folder that holds a run or another prompt.
    """
    if layout not in LAYOUTS:
        raise UserError(f"layout {layout!r}: expected one of {', '.join(LAYOUTS)}.")
    if not prompt.tensors:
        raise UserError(f"{prompt.recipe.variant}: nothing was learned, so there is nothing to export.")
    folder = Path(folder).expanduser()
    if layout == "official":
        return official.write(prompt, folder)[0]
    if (folder / "learned.safetensors").exists():
        raise UserError(f"{folder}: holds a run; export into another folder.")
    recipe = prompt.recipe.to_dict()
    content = {"schema": 1, "kind": KIND, "recipe": recipe, "results": prompt.results}
    metadata = {"kind": KIND, "recipe": io.identity(recipe)}
    text = card_of(prompt, licence)
    io.write_tensors(folder / TENSORS, prompt.tensors, metadata)
    io.write_json(folder / SETTINGS, content)
    io.write_text(folder / CARD, text)
    return folder
