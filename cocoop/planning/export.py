"""`draws export`: the few-shot draws of a configuration as files."""

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from cocoop import draws, splits
from cocoop.errors import UserError
from cocoop.manifest import Manifest
from cocoop.planning.plan import Plan
from cocoop.planning.stages import MANIFEST
from cocoop.run import Run


def export(plan: Plan, out: Path, configfiles: Sequence[Path] = (), folder: Path = Path()) -> list[Path]:
    """Writes the draw of every trained run and seed below `out`, and returns the files, sorted.

    folder: the working folder, whose results contain the manifests. Draws with label noise or uneven numbers of images are in
    folders of their own, each of which is a folder for `draws`; those that the configuration reads from files are left out.
    """
    manifests: dict[str, Manifest] = {}
    written: set[Path] = set()
    for run in plan.runs:
        for seed in () if run.draw.files else run.seeds:
            path = draws.file_of(out / _folder(run), run.dataset, run.shots, seed)
            if path in written:
                continue
            if run.dataset not in manifests:
                manifests[run.dataset] = _manifest(plan, run.dataset, configfiles, folder)
            manifest, subset = manifests[run.dataset], run.subset if run.draw.settings else "all"
            drawn_of = subset if run.draw.uneven else "all"
            selection = splits.selection_of(manifest, run.shots, seed, run.draw.images, drawn_of)
            draws.write(path, manifest, selection, run.draw, subset)
            written.add(path)
    return sorted(written)


def _folder(run: Run) -> str:
    """The folder of draws that are not the authors': `25-symmetric-label-noise-base`."""
    if not run.draw.settings:
        return ""
    return re.sub(r"[^a-z0-9.]+", "-", f"{run.draw.text} {run.subset}")


def _manifest(plan: Plan, dataset: str, configfiles: Sequence[Path], folder: Path) -> Manifest:
    path = MANIFEST.outputs["manifest"].format(dataset=dataset, id=plan.datasets[dataset].data)
    if not (folder / path).exists():
        files = ["--configfile", *map(str, configfiles)] if configfiles else []
        command = shlex.join(["snakemake", "--cores", "1", *files, "--", path])
        raise UserError(
            f"dataset {dataset!r} has not been listed yet, so nothing can be drawn from it; run `{command}` first."
        )
    return Manifest.load(folder / path)
