"""Image features of a split with the test transform, computed once for all methods."""

from pathlib import Path

import numpy as np

from cocoop import provenance
from cocoop.backbone.model import Backbone
from cocoop.errors import UserError
from cocoop.images import extraction, feature_file
from cocoop.images.decoding import Task
from cocoop.manifest import Manifest

KIND = "features"


def extract_test(
    backbone: Backbone,
    manifest: Manifest,
    root: Path,
    split: str,
    out: Path,
    batch_size: int = extraction.BATCH_SIZE,
    workers: int = 0,
    *,
    local: bool = False,
) -> None:
    """Writes `features` (N, E) float32, not normalised, and `labels` (N,) int64 of a split, in the manifest's order.

    root: the dataset's folder.
    local: features (N, 1 + L, E) float16, the global one first.
    A stopped job continues from `<out>.parts`.
    Raises a UserError for a split without images, for an image that cannot be read, and for features that are not finite.
    """
    items = manifest.splits[split]
    if not items:
        raise UserError(f"dataset {manifest.dataset!r} has no images in its {split} split, so none can be encoded.")
    metadata = {
        "kind": KIND,
        "schema": feature_file.SCHEMA,
        "dataset": manifest.dataset,
        "split": split,
        "classnames": list(manifest.classnames),
        "manifest": manifest.fingerprint,
        **manifest.background,
        "images": len(items),
        "width": backbone.embed_dim,
        **({"local": True} if local else {}),
        **backbone.identity,
        "computed_on": provenance.computed_on(str(backbone.device)),
        "code": provenance.numeric_code(),
    }
    job = extraction.Job(
        backbone=backbone,
        tasks=[Task(Path(root) / item.path, on_white=manifest.on_white) for item in items],
        out=Path(out),
        metadata=metadata,
        title=f"{manifest.dataset} {split} images through {backbone.spec.name}",
        unit="image",
        batch_size=batch_size,
        workers=workers,
        local=local,
    )
    labels = np.array(manifest.labels(split), dtype=np.int64)  # (N,)
    extraction.run(job, {"labels": labels}, {"features": range(len(items))}, flat=True)
