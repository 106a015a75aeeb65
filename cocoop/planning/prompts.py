"""The hand-crafted prompts of runs and evaluations: what a variant's `prompts_from` means on a dataset."""

from functools import cache
from pathlib import Path
from typing import NamedTuple

from cocoop.config import DatasetSpec, VariantSpec, prompts
from cocoop.errors import UserError
from cocoop.manifest import Manifest
from cocoop.planning.stages import MANIFEST


class Prompts(NamedTuple):
    """The fields of the same names of a run or evaluation."""

    templates: tuple[str, ...] = ()
    descriptions: str | None = None
    template: str | None = None


def prompts_of(variant: VariantSpec, spec: DatasetSpec, where: str) -> Prompts:
    """The prompts that a variant uses on a dataset.

    Raises a UserError that starts with `where` for missing descriptions, including those of single classes if the dataset has
    already been listed in the working folder.
    """
    chosen = variant.prompts_for(spec.name)
    place = f"{where}: variant {variant.name!r}: {spec.name}"
    templates = () if chosen is None else spec.templates(chosen, f"{place}: prompts_from")
    digest = _described(variant, spec, where) if chosen == prompts.DESCRIPTIONS else None
    own = chosen not in (None, prompts.TEMPLATE, prompts.ENSEMBLE, prompts.DESCRIPTIONS)
    template = (templates[0] if own else spec.template) if "template" in variant.needs else None
    return Prompts(templates, digest, template)


def _described(variant: VariantSpec, spec: DatasetSpec, where: str) -> str:
    if spec.descriptions is None:
        raise UserError(
            f"{where}: variant {variant.name!r} needs class descriptions, but dataset {spec.name!r} has none; "
            f"add `descriptions: FILE.json` to config/datasets/{spec.name}.yaml."
        )
    content = prompts.descriptions(spec.descriptions)
    manifest = Path(MANIFEST.outputs["manifest"].format(dataset=spec.name, id=spec.data))
    if manifest.exists():
        prompts.of_classes(content, _classnames(manifest, manifest.stat().st_mtime_ns), str(spec.descriptions))
    return prompts.digest(content)


@cache
def _classnames(manifest: Path, _: int) -> tuple[str, ...]:
    return Manifest.load(manifest).classnames
