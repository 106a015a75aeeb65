"""The tables of the paired comparisons: over images, over datasets, and average ranks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from cocoop.config.draw import shots_in_words
from cocoop.errors import counted
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import notes, over_datasets, paired, records, statistics
from cocoop.reporting.records.text import GAP, interval, p_value, per_cent
from cocoop.reporting.tables import rendering, stacking
from cocoop.reporting.tables.grids import METRICS
from cocoop.reporting.tables.rendering import Cell, Table

TEXTS = ("dataset", "source", "draw")  # columns of texts that may be empty
NAMES = ("paired", "over_datasets", "ranks")
IMAGES = (
    "Tested on", "Classes", "First", "Second", "Second − first", "95 % interval", "p", "p (Holm)", "Std over seeds", "Detectable",
)  # fmt: skip
DATASETS = (
    "Classes", "First", "Second", "Second − first", "95 % interval", "Wins, ties, losses", "t test p", "p (Holm)", "Wilcoxon p",
    "p (Holm)",
)  # fmt: skip
RANKS = ("Classes", "Method", "Average rank", "Friedman p", "Critical difference")
NOTES = {
    "paired": (
        "Percentage points, over the same seeds and test images. 95 % interval: Student's t over test images. p: exact "
        "permutation test of the signs of the images' differences, which with one seed is McNemar's test. Both tell what other "
        "test images would give, not what other seeds would. "
        "{holm}paired.csv also has McNemar's test of each seed.",
        "Std over seeds: of the difference (ddof 1). Detectable: the smallest true difference that a paired t test "
        "(two-sided, 5 %) over as many seeds finds with a chance of 80 %, given that spread. A smaller difference may be due "
        "to the seeds.",
        f"{GAP} not defined: a single seed or no spread over seeds, or no image on which the two differ.",
    ),
    "over_datasets": (
        "Percentage points: mean over datasets, each with its mean over seeds, and Student's t interval over datasets. Wins: "
        "datasets on which the second is higher as printed. Tests of the same differences: the paired t test, and Wilcoxon's "
        "signed-rank test (exact), which assumes no normal distribution. {holm}Datasets are few and were not drawn at random: "
        "read p as a description.",
        f"{GAP} not defined: results are missing, or the two differ by the same amount on every dataset.",
    ),
    "ranks": (
        "Rank over datasets of the mean accuracy, 1 for the highest; equal ones share a rank. Friedman p: do the ranks differ "
        "at all? Critical difference: two average ranks that far apart differ significantly (5 %, Nemenyi's test; Demšar, JMLR "
        "2006). Methods with missing results are left out.",
        f"{GAP} not defined: Friedman's test needs three methods that are not equal on every dataset.",
    ),
}
ONE_DATASET = "Nothing to compare: fewer than two datasets have an average."


def build(experiment_json: Path, metrics_paths: Sequence[Path], records_csv: Path, out_dir: Path) -> list[Table]:
    """Compares the variants of an experiment and writes the tables `NAMES`, each in all forms (`rendering.write`).

    metrics_paths: metrics.json files, with predictions.safetensors in the same folder; records_csv: the result of `collect`
    for them.
    """
    experiment = experiments.load(experiment_json)
    numbers, said = records.load(records_csv), records.load_notes(records_csv)
    built = _of_backbones(experiment, lambda one: _built(one, metrics_paths, numbers, said))
    for table in built:
        rendering.write(table, Path(out_dir))
    return built


def load(experiment: Mapping[str, Any], folder: Path) -> list[Table]:
    """The tables that `build` has written into a folder; none if one of them is not there."""
    files = [Path(folder) / f"{name}.csv" for name in NAMES]
    if not all(file.exists() for file in files):
        return []
    frames = [_read(file) for file in files]
    apart = [dict(_by_backbone(experiment, frame)) for frame in frames]
    return _of_backbones(experiment, lambda one: tables(one, *(parts[one["backbone"]["name"]] for parts in apart)))


def _by_backbone(experiment: Mapping[str, Any], frame: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for one, part in stacking.of_each(experiment, frame):
        yield one["backbone"]["name"], part


def _read(file: Path) -> pd.DataFrame:
    """A table's numbers; empty texts stay texts, and empty numbers are missing."""
    frame = pd.read_csv(file, keep_default_na=False, na_values=[""], dtype=dict.fromkeys(TEXTS, "str"))
    return frame.fillna({name: "" for name in TEXTS if name in frame})


def _of_backbones(experiment: Mapping[str, Any], build: Callable[[Mapping[str, Any]], list[Table]]) -> list[Table]:
    """Tables of an experiment, which compare within each backbone; several backbones share each table, in blocks."""
    each = experiments.of_each(experiment)
    parts = {(one["backbone"]["name"], one["backbone"]["label"]): build(one) for one in each}
    built = next(iter(parts.values())) if len(parts) == 1 else stacking.stacked(parts)
    labels = ", ".join(one["backbone"]["label"] for one in each)
    caption = f"{'Backbone' if len(each) == 1 else 'Backbones'}: {labels}."
    return [replace(table, caption=caption) for table in built]


def _built(
    experiment: Mapping[str, Any], metrics_paths: Sequence[Path], numbers: pd.DataFrame, said: Sequence[str]
) -> list[Table]:
    """The tables of one backbone."""
    over_images = paired.compare(experiment, paired.read(experiment, metrics_paths))
    selected = experiments.select(experiment, numbers)
    summary = statistics.summarize(experiment, selected)
    frames = over_images, over_datasets.compare(experiment, summary), over_datasets.ranks(experiment, summary)
    return tables(experiment, *frames, notes.of(experiment, selected, said))


def tables(
    experiment: Mapping[str, Any],
    over_images: pd.DataFrame,
    datasets: pd.DataFrame,
    ranked: pd.DataFrame,
    noted: Sequence[str] = (),
) -> list[Table]:
    """The tables from the results of `paired.compare`, `over_datasets.compare` and `over_datasets.ranks`."""
    return [
        _table(experiment, "paired", "paired comparison over test images", over_images, IMAGES, _images, 4, noted),
        _table(experiment, "over_datasets", "paired comparison over datasets", datasets, DATASETS, _datasets, 3, noted),
        _table(experiment, "ranks", "average ranks over datasets", ranked, RANKS, _ranks, 2, noted),
    ]


def _table(
    experiment: Mapping[str, Any], name: str, about: str, frame: pd.DataFrame, header: Sequence[str], rows: Any, labels: int,
    noted: Sequence[str],
) -> Table:  # fmt: skip
    shown = frame[frame["seed"].astype(str) == paired.ALL_SEEDS] if "seed" in frame else frame
    texts = rows(experiment, shown.astype(object).where(shown.notna(), None).to_dict("records"))
    key = "p" if name == "paired" else "wilcoxon_p"
    tests = int(shown[key].notna().sum()) if key in shown else 0
    holm = f"p (Holm): corrected for {counted(tests, 'test', 'tests')} in this table. " if tests else ""
    below = tuple(note.format(holm=holm) for note in NOTES[name]) if len(shown) else (ONE_DATASET,)
    return Table(
        name=name,
        title=f"{experiment['title']}: {about}",
        caption="",
        tidy=frame,
        wide=shown,
        header=tuple(header),
        rows=tuple(tuple(map(Cell, row)) for row in texts),
        labels=labels,
        notes=(*below, *noted),
    )


def _images(experiment: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    labels, titles = experiments.named(experiment["variants"]), experiments.dataset_titles(experiment)
    return [
        [
            titles[row["target"]] + _trained_on(experiment, row["dataset"]), row["target_subset"],
            *_pair(experiment, labels, row), *_difference(row),
            p_value(row["p"]), p_value(row["p_holm"]), per_cent(row["std"]), per_cent(row["detectable"]),
        ]
        for row in rows
    ]  # fmt: skip


def _datasets(experiment: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    labels = experiments.named(experiment["variants"])
    tests = ("t_p", "t_p_holm", "wilcoxon_p", "wilcoxon_p_holm")
    return [
        [
            _classes(experiment, row), *_pair(experiment, labels, row), *_difference(row),
            GAP if row["wins"] is None else f"{row['wins']:.0f}, {row['ties']:.0f}, {row['losses']:.0f}",
            *(p_value(row[name]) for name in tests),
        ]
        for row in rows
    ]  # fmt: skip


def _ranks(experiment: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    labels, found = experiments.named(experiment["variants"]), []
    for place, row in enumerate(rows):
        group = [row[name] for name in over_datasets.GROUP]
        first = not place or group != [rows[place - 1][name] for name in over_datasets.GROUP]
        about = [p_value(row["friedman_p"]), f"{row['critical_difference']:.2f}"] if first else ["", ""]
        drawn = f", {row['draw']}" if row["draw"] else ""
        classes = _classes(experiment, row) + _shots(experiment, row) + drawn
        found.append([classes, labels[row["variant"]], f"{row['rank']:.2f}", *about])
    return found


def _pair(experiment: Mapping[str, Any], labels: Mapping[str, str], row: Mapping[str, Any]) -> list[str]:
    """The names of the two; how the images of a trained one were drawn, where the experiment has several draws."""
    trained = {variant["name"] for variant in experiment["variants"] if variant["trainable"]}
    drawn = f", {row['draw']}" if row["draw"] and experiment.get("drawn") else ""
    first, second = (labels[row[name]] + drawn * (row[name] in trained) for name in ("first", "second"))
    return [first, second + _shots(experiment, row)]


def _shots(experiment: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if len(experiment["shots"]) == 1 or not row["shots"]:
        return ""
    return f", {shots_in_words(row['shots'])}"


def _classes(experiment: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    """The group of classes, and the dataset trained on where there are several."""
    return METRICS[row["metric"]] + _trained_on(experiment, row["source"])


def _trained_on(experiment: Mapping[str, Any], dataset: str) -> str:
    """Words for the dataset trained on, where tests on another dataset make it one of several."""
    several = experiment["table"] in statistics.TRANSFER_KINDS and len(experiment["train_datasets"]) > 1
    return f", trained on {experiments.dataset_titles(experiment)[dataset]}" if dataset and several else ""


def _difference(row: Mapping[str, Any]) -> list[str]:
    ends = interval(row["interval_low"], row["interval_high"], sign=True)
    return [per_cent(row["difference"], sign=True), ends]
