"""One HTML page with everything: what was run, tables, figures, classes and confusions, links to settings and logs."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def build(
    results: Path,
    experiments: Sequence[Mapping[str, Any]],
    metrics: Sequence[Path],
    manifests: Sequence[Path],
    out: Path,
    data_root: Path | None = None,
) -> None:
    """Writes a self-contained page that opens offline (see `cocoop.reporting.page.page`).

    experiments: contents of experiment.json files. metrics: metrics.json of each evaluation. manifests: of the datasets.
    data_root: the folder of the images, for examples of confused pairs.
    """
    from cocoop.reporting.page import page

    page.build(results, experiments, metrics, manifests, out, data_root)
