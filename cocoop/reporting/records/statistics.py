"""Mean and spread over seeds, H, and averages over datasets: the tidy numbers behind every table and figure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from cocoop import metrics
from cocoop.config.draw import level_of
from cocoop.errors import UserError
from cocoop.reporting.records.records import describe

AVERAGE = "average"
TRANSFER_KINDS = ("transfer", "domain")
CELL = ["source", "target", "series", "shots"]
RUN = ["half", "seed"]  # the runs that a number of a cell is a mean of
HALF = "half_width"
COLUMNS = [
    *CELL, "label", "variant", "metric", "n", "expected", "mean", "std", "std_ddof0", "interval_low", "interval_high",
    "one_class", "trained", "without_biases", "draw",
]  # fmt: skip


def summarize(
    experiment: Mapping[str, Any], selected: pd.DataFrame, values: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per cell of a table and metric (a target subset, or `h`), and average rows with target `AVERAGE`.

    selected: result of `cocoop.reporting.records.experiment.select`; values: result of `per_seed`, if already computed.
    Returns columns `COLUMNS`, accuracies as fractions. `mean` is missing unless all `expected` seeds (for an average: those
    of all datasets) are complete; `n` counts the complete ones. Standard deviations are over the complete seeds: ddof 1
    and, as the authors' code prints, ddof 0 (parse_test_res.py:117). H is that of the mean base and new accuracy; its spread
    is that of H per seed (CoCoOp, section 4.1). `one_class`: a group of classes contains a single one; its accuracy, 1
    by definition, is left out, and its dataset is left out of averages.

    The interval is Student's t at 95 % around the mean, cut to [0, 1] as `metrics.interval` cuts it (a t interval of logits
    would not exist for accuracies of 0 and 1). It is missing without a mean, with one seed, and if all seeds are equal.
    """
    values = per_seed(experiment, selected) if values is None else values
    rows = [_row(key, part) for key, part in _groups(values, [*CELL, "metric"])]
    numbers = [name for name in rows[0] if name.startswith(("mean", "std", HALF))]
    summary = _with_intervals(_with_h_of_means(pd.DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))))
    names = selected.drop_duplicates("series").set_index("series")[["label", "variant", "draw"]]
    names["draw"] = names["draw"].map(level_of)
    summary = _with_parameters(summary.join(names, on="series"), values)
    summary["series"] = pd.Categorical(summary["series"], selected["series"].cat.categories, ordered=True)
    return summary[COLUMNS]


def per_seed(experiment: Mapping[str, Any], selected: pd.DataFrame) -> pd.DataFrame:
    """The input of `summarize`: one row per cell, metric, class half and seed, with H and the averages over datasets of each.

    Columns: `CELL`, metric, half, seed, value (a fraction; missing if the run is missing, or for one_class), present (whether
    all of its runs are complete), one_class, trained, without_biases.
    """
    values = values_of(experiment, selected)
    averaged = pd.concat([values, _averages(values)], ignore_index=True)
    return pd.concat([averaged, _harmonic(averaged)], ignore_index=True)


def without_single_classes(targets: Iterable[str], summary: pd.DataFrame) -> list[str]:
    """The targets without a group of a single class: those that averages are over."""
    single = set(summary.loc[summary["one_class"], "target"])
    return [target for target in targets if target not in single]


def values_of(experiment: Mapping[str, Any], selected: pd.DataFrame) -> pd.DataFrame:
    """One row per record: CELL, metric, seed, value. An untrained variant is repeated for every source it is compared on."""
    frame = selected.rename(columns={"target_subset": "metric", "accuracy": "value"}).assign(
        series=selected["series"].astype(str), one_class=selected["classes"] == 1
    )
    frame["one_class"] = frame.groupby(["target", "metric"])["one_class"].transform("any")
    frame["value"] = frame["value"].mask(frame["one_class"])
    trained = frame["shots"] > 0
    if experiment["table"] in TRANSFER_KINDS:
        sources = list(dict.fromkeys(frame.loc[trained, "dataset"])) or [""]
        untrained = [frame[~trained].assign(source=source) for source in sources]
        frame = pd.concat([frame[trained].assign(source=frame["dataset"]), *untrained], ignore_index=True)
    else:
        foreign = selected[trained & (selected["dataset"] != selected["target"])]
        if len(foreign):
            raise UserError(
                f"experiment {experiment['name']!r}: table {experiment['table']!r} only shows tests on the dataset trained "
                f"on, not {describe(foreign.iloc[0])}; use table: transfer."
            )
        frame = frame.assign(source="")
    # without a trained variant, concat makes objects of them
    frame = frame.astype({"present": "bool", "one_class": "bool", "trained": "Int64", "without_biases": "Int64"})
    return frame[[*CELL, "metric", *RUN, "value", "present", "one_class", "trained", "without_biases"]]


def _averages(values: pd.DataFrame) -> pd.DataFrame:
    """The mean of each class half and seed over all targets except the source; missing if one of them is missing.

    A target with a single class in one group is left out of all averages, so that those of base, new and H are over the same
    targets.
    """
    targets = values[values["target"] != values["source"]]
    targets = targets[targets["target"].isin(without_single_classes(targets["target"].unique(), values))]
    wanted = targets.groupby("source")["target"].nunique()
    rows = []
    for key, part in _groups(targets, ["source", "series", "shots", "metric", *RUN]):
        if wanted[key["source"]] > 1:
            complete = len(part) == wanted[key["source"]]
            value = metrics.mean(_listed(part["value"])) if complete else None
            rows.append({**key, "target": AVERAGE, "value": value, "present": value is not None, "one_class": False})
    return pd.DataFrame(rows, columns=values.columns).astype(
        {"value": "float64", "present": "bool", "one_class": "bool"}
    )


def _harmonic(values: pd.DataFrame) -> pd.DataFrame:
    """H per cell, class half and seed, if the experiment has both base and new."""
    halves = values[values["metric"].isin(["base", "new"])]
    if not {"base", "new"} <= set(halves["metric"]):
        return values.iloc[:0]
    wide = halves.set_index([*CELL, *RUN, "metric"])[["value", "present", "one_class"]].unstack()
    base, new = (wide.xs(metric, axis="columns", level="metric") for metric in ("base", "new"))
    h = base.assign(
        value=[metrics.harmonic_mean(*_listed(pair)) for pair in zip(base["value"], new["value"], strict=True)],
        present=base["present"] & new["present"],
        one_class=base["one_class"] | new["one_class"],
    )
    return h.reset_index().assign(metric="h").astype({"value": "float64"})


def _row(key: Mapping[str, Any], part: pd.DataFrame) -> dict[str, Any]:
    values = _listed(part["value"])
    there = [value for value in values if value is not None]
    std = metrics.sample_std(there)
    spread = {"std": std, "std_ddof0": metrics.population_std(there) if len(there) > 1 else None}
    return {
        **key, "n": int(part["present"].sum()), "expected": len(values), "mean": metrics.mean(values), **spread,
        HALF: metrics.t_half_width(std, len(there)), "one_class": bool(part["one_class"].any()),
    }  # fmt: skip


def _with_intervals(summary: pd.DataFrame) -> pd.DataFrame:
    """Adds the interval around each mean; that of H is around the H that is shown, not around the mean of H per seed."""
    low, high = summary["mean"] - summary[HALF], summary["mean"] + summary[HALF]
    return summary.assign(interval_low=low.clip(lower=0.0), interval_high=high.clip(upper=1.0))


def _with_h_of_means(summary: pd.DataFrame) -> pd.DataFrame:
    """Replaces the mean of H by the H of the mean base and new, which reproduces the paper's printed H in average rows."""
    means = dict(
        zip(zip(*(summary[key] for key in CELL), summary["metric"], strict=True), summary["mean"], strict=True)
    )
    rows = summary["metric"] == "h"
    cells = summary.loc[rows, CELL].itertuples(index=False, name=None)
    pairs = [_listed([means[(*cell, "base")], means[(*cell, "new")]]) for cell in cells]
    h = [metrics.harmonic_mean(*pair) for pair in pairs]
    summary.loc[rows, "mean"] = pd.Series(h, dtype="float64").to_numpy()  # a list with a gap is no number to pandas 3
    return summary


def _with_parameters(summary: pd.DataFrame, values: pd.DataFrame) -> pd.DataFrame:
    """Adds the trained parameters of each cell; an average row has them only if they are the same for all its datasets."""
    values = values[values["target"] != AVERAGE]
    shared = _only(values, ["source", "series", "shots"])
    shared = pd.concat({AVERAGE: shared}, names=["target"]).reorder_levels(CELL)
    return summary.join(pd.concat([_only(values, CELL), shared]).astype("Int64"), on=CELL)


def _only(values: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    groups = values.groupby(list(keys))[["trained", "without_biases"]]
    return groups.first().where(groups.nunique() == 1)


def _listed(values: Iterable[float]) -> list[float | None]:
    return [None if pd.isna(value) else float(value) for value in values]


def _groups(frame: pd.DataFrame, columns: Sequence[str]) -> Iterable[tuple[dict[str, Any], pd.DataFrame]]:
    for key, part in frame.groupby(list(columns), sort=False, observed=True):
        yield dict(zip(columns, key, strict=True)), part
