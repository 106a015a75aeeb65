"""The published zero-shot accuracy of a backbone on ImageNet, beside ours."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from cocoop.reporting.records.text import per_cent

TARGET, METRIC = "imagenet", "all"


def notes(experiment: Mapping[str, Any], summary: pd.DataFrame) -> tuple[str, ...]:
    """A note with both, if an experiment of one backbone tests CLIP without training on all classes of ImageNet.

    Published numbers usually come from CLIP's 80 templates; the note says so, because one template gives less.
    """
    published = experiment["backbone"].get("imagenet_zero_shot")
    clips = [v["name"] for v in experiment["variants"] if v["method"] == "clip" and not v["trainable"]]
    here = summary["variant"].isin(clips) & (summary["target"] == TARGET) & (summary["metric"] == METRIC)
    ours = summary[here & summary["mean"].notna()].drop_duplicates("variant")
    if not published or ours.empty:
        return ()
    measured = ", ".join(f"{label} {per_cent(mean)}" for label, mean in zip(ours["label"], ours["mean"], strict=True))
    return (
        f"Zero-shot accuracy on ImageNet with these weights: {published['accuracy']:.2f} published ({published['source']}; usually "
        f"with an ensemble of 80 templates), here {measured}.",
    )
