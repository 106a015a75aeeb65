"""The model card of an exported prompt: README.md with the metadata of the Hugging Face Hub."""

from collections.abc import Iterator, Mapping
from typing import Any

import open_clip
import torch
from huggingface_hub import EvalResult, ModelCardData
from tabulate import tabulate

from cocoop import __version__, io
from cocoop.api.prompt import Prompt
from cocoop.config import Registry
from cocoop.errors import UserError

TASK = "zero-shot-image-classification"
MOST_CLASSES = 50

TEXT = """\
---
{metadata}
---

# {title}

A prompt for a frozen CLIP-like model, learned with {method} in the benchmark `cocoop` (version {version}). It contains only
the learned tensors ({numbers:,} numbers): the backbone is loaded from its own source.

```python
import cocoop

prompt = cocoop.load("FOLDER_OR_OWNER/NAME")
prompt.predict(["picture.jpg"], ["cat", "dog"]).table(2)
```

| | |
| --- | --- |
{facts}

{results}
"""


def card_of(prompt: Prompt, licence: str) -> str:
    """The text of the card. licence: an identifier of the Hub."""
    recipe = prompt.recipe
    title = f"{recipe.variant} on {recipe.dataset}" if recipe.dataset else recipe.variant
    data = ModelCardData(
        license=licence,
        library_name="cocoop",
        pipeline_tag=TASK,
        tags=["clip", "prompt-learning", recipe.method],
        base_model=_on_the_hub(prompt),
        model_name=title,
        eval_results=[_of_hub(result) for result in prompt.results] or None,
    )
    facts = "\n".join(f"| {name} | {str(value).replace('|', chr(92) + '|')} |" for name, value in _facts(prompt))
    numbers = sum(tensor.numel() for tensor in prompt.tensors.values())
    return TEXT.format(
        metadata=data.to_yaml(line_break="\n"), title=title, method=recipe.variant, version=__version__, numbers=numbers,
        facts=facts, results=_table(prompt),
    )  # fmt: skip


def _on_the_hub(prompt: Prompt) -> str | None:
    spec = prompt.recipe.backbone
    facts = open_clip.get_pretrained_cfg(spec.model, spec.pretrained) if spec.pretrained else {}
    return str(facts.get("hf_hub") or "").rstrip("/") or None


def _of_hub(result: Mapping[str, Any]) -> EvalResult:
    place = f"{result['target']} ({result['target_subset']} classes)"
    return EvalResult(
        task_type=TASK, dataset_type=result["target"], dataset_name=place, metric_type="accuracy",
        metric_value=round(result["accuracy"], 6),
    )  # fmt: skip


def _facts(prompt: Prompt) -> Iterator[tuple[str, Any]]:
    recipe = prompt.recipe
    spec = recipe.backbone
    yield "backbone", f"open_clip {spec.model}, weights {spec.pretrained}, precision {spec.precision}"
    yield "fingerprint of the backbone", recipe.fingerprint
    yield "parameters", io.canonical_json(dict(recipe.params))
    yield "tensors", ", ".join(f"{name} {_shape(tensor)}" for name, tensor in prompt.tensors.items())
    if run := recipe.origin.get("run"):
        yield "data", f"{run['dataset']}, {run['subset']} classes, {run['shots']} images per class, seed {recipe.seed}"
        yield "training", io.canonical_json(run["training"]) if run["training"] else "closed form"
        yield "views", run["views"] or "the images as they are"
    if checkpoint := recipe.origin.get("checkpoint"):
        yield "source", f"checkpoint of the authors' code {checkpoint['file']}, sha256 {checkpoint['sha256']}"
    shown = ", ".join(recipe.classnames[:MOST_CLASSES])
    more = len(recipe.classnames) - MOST_CLASSES
    yield f"{len(recipe.classnames)} classes trained on", shown + (f", and {more} more" if more > 0 else "")
    if recipe.templates:
        yield "templates", "; ".join(recipe.templates)
    if terms := _terms(recipe.dataset):
        yield "terms of the data", terms


def _terms(dataset: str) -> str | None:
    """The terms in the dataset's file; None without any."""
    try:
        return Registry().dataset(dataset, "export").settings.get("licence", {}).get("terms")
    except UserError:
        return None


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"


def _table(prompt: Prompt) -> str:
    if not prompt.results:
        return "No accuracies were measured with these tensors."
    rows = [
        (r["target"], r["target_subset"], f"{100 * r['accuracy']:.2f}", f"{r['correct']} of {r['total']}")
        for r in prompt.results
    ]
    header = ("Dataset", "Classes", "Accuracy (%)", "Right")
    return tabulate(rows, headers=header, tablefmt="pipe", disable_numparse=True)
