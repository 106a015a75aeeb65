"""Figures: the drawn numbers are those of the tables, the files are those promised, and the bytes the same each time."""

import subprocess
import sys
from itertools import pairwise
from xml.etree import ElementTree

import pandas as pd
import pytest
from PIL import Image

from cocoop.cli import main
from cocoop.errors import UserError
from cocoop.io import REPOSITORY
from cocoop.reporting import figures
from cocoop.reporting.figures import ablation, changes, curves, looks, parameters, style, training
from cocoop.reporting.figures import cost as of_cost
from cocoop.reporting.figures.data import gather
from cocoop.reporting.records import cost
from cocoop.reporting.records import records as results
from cocoop.reporting.records.cost import job_of
from cocoop.reporting.tables import KINDS
from tests.reporting.records import made

VALUES = {("clip", "digits"): (0.70, 0.65), ("coop", "digits"): (0.82, 0.50), ("cocoop", "digits"): (0.81, 0.64)}
STEP = {0: 0.0, 1: -0.01, 2: 0.0, 3: 0.01}
TRANSFER = {
    "train_datasets": [{"name": "digits", "title": "Digits"}],
    "targets": [{"name": name, "title": name.title()} for name in ("digits", "shapes")],
    "target_subsets": ["all"],
}
GRIDS = {
    "transfer": TRANSFER,
    "domain": TRANSFER,
    "curves": {"shots": [1, 4], "target_subsets": ["all"], "train_subset": "all"},
}


def accuracy(key):
    half = {"base": 0, "new": 1, "all": 0}[key["target_subset"]]
    return VALUES.get((key["variant"], key["target"]), (0.6, 0.6))[half] + STEP[key["seed"]]


def data(kind="base_to_new", value=accuracy, **changed):
    content = made.experiment(kind, **GRIDS.get(kind, {}) | changed)
    return gather(content, made.records(content, value))


def labels(axes):
    return [tick.get_text() for tick in axes.get_yticklabels()]


def test_an_untrained_reference_on_all_classes_is_that_of_every_random_half():
    found = changes.against(data(train_subset="base-1", target_subsets=["all"]), "clip").set_index(["target", "series"])
    assert found.loc[("digits", "coop"), "change"] == pytest.approx(12)
    assert not found["change"].isna().any()


def test_bars_are_the_changes_against_the_reference():
    found = changes.against(data(), "clip").set_index(["target", "metric", "series"])
    assert found.loc[("digits", "base", "coop"), "change"] == pytest.approx(12)
    assert found.loc[("digits", "new", "coop"), "change"] == pytest.approx(-15)
    assert found.loc[("average", "new", "coop"), "change"] == pytest.approx(-7.5)
    assert found.loc[("digits", "base", "coop"), "std"] == pytest.approx(1)


def test_a_trained_reference_is_paired_by_seed_and_an_untrained_series_stands_against_its_mean():
    found = changes.against(data(), "coop").set_index(["target", "metric", "series"])
    assert found.loc[("digits", "base", "cocoop"), ["change", "std"]].tolist() == pytest.approx([-1, 0], abs=1e-9)
    assert found.loc[("digits", "new", "clip"), "change"] == pytest.approx(15)


def test_the_chart_draws_these_bars_sorted_with_the_average_on_top():
    with style.theme():
        figure = changes.draw(data(), "clip")
    base, new = figure.axes
    assert base.get_title() == "Base classes" and new.get_title() == "New classes"
    assert labels(base) == ["Average", "Digits", "Shapes"] and labels(new) == ["Average", "Shapes", "Digits"]
    widths = [round(patch.get_width(), 6) for patch in base.patches]
    assert widths == [6.0, 5.5, 12.0, 11.0, 0.0, 0.0]
    assert "+12.00" in {text.get_text() for text in base.texts}


def test_a_missing_run_is_written_out_not_drawn():
    with style.theme():
        figure = changes.draw(
            data(value=lambda key: None if key["variant"] == "coop" and key["seed"] == 2 else accuracy(key)), "clip"
        )
    base = figure.axes[0]
    assert len(base.patches) == 3
    assert [text.get_text() for text in base.texts].count(" missing") == 3


def test_a_figure_with_nothing_to_show_is_not_drawn():
    untrained, nothing = data(variants=[made.CLIP]), pd.DataFrame(columns=[*training.COLUMNS, "variant", "shots"])
    assert changes.draw(data(variants=[made.COOP, made.COCOOP]), "clip") is None
    assert training.draw(untrained, nothing) is None
    assert of_cost.draw(untrained, pd.DataFrame(columns=cost.COLUMNS)) is None


def test_transfer_bars_mark_the_source():
    with style.theme():
        figure = changes.draw(data("transfer"), "clip")
    assert figure.axes[0].get_title() == "All classes, trained on Digits"
    assert set(labels(figure.axes[0])) == {"Average", "Digits (source)", "Shapes"} - {"Average"}


def test_curves_go_through_the_means():
    with style.theme():
        figure = curves.draw(data("curves", lambda key: 0.5 + key["shots"] / 100 + STEP[key["seed"]]))
    axes = figure.axes[0]
    assert axes.get_title() == "Average"
    by_points = {tuple(line.get_xdata()): list(line.get_ydata()) for line in axes.lines}
    assert by_points[1, 4] == pytest.approx([51, 54])
    assert by_points[0, 1] == pytest.approx([50, 50]), "the level line of the untrained variant"


def test_h_stands_over_the_parameters():
    with style.theme():
        figure = parameters.draw(data("parameter_matched"))
    digits = figure.axes[1]
    points = {tuple(line.get_xdata()): list(line.get_ydata()) for line in digits.lines if line.get_marker() in "os^"}
    assert digits.get_title() == "Digits"
    assert points[512,] == pytest.approx([100 * 2 * 0.82 * 0.5 / 1.32])
    assert points[2696,] == pytest.approx([100 * 2 * 0.81 * 0.64 / 1.45])


def test_nearly_equal_numbers_of_parameters_are_drawn_apart():
    assert parameters._apart([512, 2688, 2696]) == {512: 512.0, 2688: 2688.0, 2696: pytest.approx(2688 * 1.15)}


def test_ablation_has_a_line_per_variant():
    with style.theme():
        figure = ablation.draw(data("ablation", variants=[made.COOP, made.COCOOP]))
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["CoOp", "CoCoOp"]
    assert [axes.get_title() for axes in figure.axes if axes.get_visible()] == ["Average", "Digits", "Shapes"]


def test_looks_differ_in_more_than_colour():
    first = [looks.look(place) for place in range(6)]
    for part in ("color", "marker", "line", "hatch"):
        assert len({getattr(look, part) for look in first}) == len(first)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        content = made.experiment(kind, **GRIDS.get(kind, {}))
        metrics = made.results_folder(root, content, images=2)
        results.collect(metrics, root / "results/experiments" / kind / "records.csv")
    return root / "results"


def draw(folder, kind, out):
    here = folder / "experiments" / kind
    costs, histories = (sorted((folder / "runs").rglob(name)) for name in ("cost.json", "history.csv"))
    return figures.build_all(here / "experiment.json", here / "records.csv", costs, histories, out)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.slow
def test_every_kind_gets_the_files_it_was_promised(folder, tmp_path, kind):
    paths = draw(folder, kind, tmp_path)
    promised = sorted(f"{name}.{form}" for name in figures.NAMES[kind] for form in ("svg", "pdf", "png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*promised, figures.WORDS])
    assert sorted(path.name for path in paths) == promised
    for path in paths:
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")
        elif path.suffix == ".pdf":
            content = path.read_bytes()
            assert content.startswith(b"%PDF") and b"/Type3" not in content and b"CreationDate" not in content
        else:
            with Image.open(path) as image:
                assert image.width > 800


@pytest.mark.slow
def test_the_same_bytes_each_time_in_another_process(folder, tmp_path):
    draw(folder, "base_to_new", tmp_path / "a")
    code = (
        "import sys\nfrom pathlib import Path\nfrom cocoop.reporting import figures\n"
        "here, runs, out = map(Path, sys.argv[1:])\n"
        "costs, histories = (sorted(runs.rglob(name)) for name in ('cost.json', 'history.csv'))\n"
        "figures.build_all(here / 'experiment.json', here / 'records.csv', costs, histories, out)\n"
        "sys.exit('torch' in sys.modules)"
    )
    arguments = [folder / "experiments/base_to_new", folder / "runs", tmp_path / "b"]
    subprocess.run([sys.executable, "-c", code, *map(str, arguments)], cwd=REPOSITORY, check=True)
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


def test_cost_is_per_run(folder):
    found = cost.read(sorted((folder / "runs").rglob("cost.json")))
    trained = found[(found["stage"] == "train") & (found["variant"] == "coop")]
    assert trained["seconds"].unique() == pytest.approx([30 / 3])
    untrained = found[found["variant"] == "clip"]
    assert untrained["stage"].unique() == ["evaluate"] and untrained["seconds"].unique() == pytest.approx([2])


def test_histories_know_their_run(folder):
    found = training.read(sorted((folder / "runs").rglob("history.csv")))
    assert set(found["variant"]) == {"coop", "cocoop"} and set(found["dataset"]) == {"digits", "shapes"}
    assert found.groupby("epoch")["progress"].first().tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])


def test_a_damaged_history_is_named(folder, tmp_path):
    (tmp_path / "history.csv").write_text("seed,epoch\n1,1\n")
    learned = next((folder / "runs").rglob("learned.safetensors"))
    (tmp_path / "learned.safetensors").write_bytes(learned.read_bytes())
    with pytest.raises(UserError, match=r"history\.csv: columns lr, loss, accuracy are missing"):
        training.read([tmp_path / "history.csv"])


DRAWN = {
    "base_to_new": lambda found: changes.draw(found, "clip"),
    "transfer": lambda found: changes.draw(found, "coop"),
    "curves": curves.draw,
    "parameter_matched": parameters.draw,
    "ablation": ablation.draw,
}
OTHER = {**made.CLIP, "name": "other", "label": "Other"}
SETTINGS = [{**made.COOP, "name": f"coop{number}", "label": f"CoOp, setting {number}"} for number in range(14)]
ONE = {"train_datasets": [{"name": "digits", "title": "Digits"}]}
ODD = {  # what a grid is changed to, and the accuracies
    "one variant, not trained": ({"variants": [made.CLIP]}, accuracy),
    "only variants that are not trained": ({"variants": [made.CLIP, OTHER]}, accuracy),
    "one variant, trained": ({"variants": [made.COOP]}, accuracy),
    "one dataset": (ONE, accuracy),
    "one seed": ({"seeds": [1]}, accuracy),
    "15 variants": ({"variants": [made.CLIP, *SETTINGS]}, accuracy),
    "all numbers equal": ({}, lambda key: 0.5),
    "all numbers 0": ({}, lambda key: 0.0),
    "differences of rounding": ({}, lambda key: 0.5 + 1e-15 * key["seed"]),
    "no results at all": ({}, lambda key: None),
    "no result of a dataset": ({}, lambda key: None if key["target"] == "digits" else 0.5),
}


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("kind", DRAWN)
@pytest.mark.slow
def test_odd_experiments_are_drawn_on_sensible_axes(kind, odd):
    """Nothing crashes, no axis shows differences of rounding, and all labels have room."""
    changed, value = ODD[odd]
    content = made.experiment(kind, **GRIDS.get(kind, {}) | changed)
    every = made.records(content, lambda key: 0.5 if value(key) is None else value(key))
    there = [value(key) is not None for key in content["expected"]]
    with style.theme():
        figure = DRAWN[kind](gather(content, every[there]))
        if figure is None:
            assert len(content["variants"]) == 1 or kind == "transfer"
            return
        figure.draw_without_rendering()
    assert figure.axes
    for axes in (axes for axes in figure.axes if axes.get_visible()):
        which = "x" if kind in ("base_to_new", "transfer", "ablation") else "y"
        low, high = getattr(axes, f"get_{which}lim")()
        empty = {text.get_text().strip() for text in axes.texts} & {"missing"}
        assert empty or high - low >= 2.0
        assert not getattr(axes, f"{which}axis").get_offset_text().get_text()
        assert not {"-0.00", "\N{MINUS SIGN}0.00"} & {text.get_text() for text in axes.texts}
        assert axes.get_position().height > 0.05, "no room left for the panel"


def test_thirty_variants_have_thirty_colours():
    found = [looks.look(place) for place in range(30)]
    assert len({look.color for look in found}) == 30
    for one, other in pairwise(found):
        assert one.marker != other.marker and one.line != other.line and one.hatch != other.hatch, "neighbours"


def test_curves_without_training_are_level_lines_and_a_report(tmp_path):
    """As who only wants zero-shot CLIP on all classes does: `few_shot_curves: {variants: [clip]}`."""
    content = made.experiment("curves", **GRIDS["curves"] | {"variants": [made.CLIP], "name": "few_shot_curves"})
    metrics = made.results_folder(tmp_path, content, images=2)
    here = tmp_path / "results/experiments/few_shot_curves"
    (tmp_path / "metrics.txt").write_text("\n".join(map(str, metrics)))
    (tmp_path / "costs.txt").write_text("\n".join(str(path.with_name("cost.json")) for path in metrics))
    (tmp_path / "histories.txt").touch()
    manifests = sorted((tmp_path / "results").rglob("manifest.json"))
    which, records = ["--experiment", here / "experiment.json"], ["--records", here / "records.csv"]
    for line in (
        ["collect", "--metrics", tmp_path / "metrics.txt", "--out", here / "records.csv"],
        ["tables", *which, *records, "--out", here / "tables"],
        ["figures", *which, *records, "--costs", tmp_path / "costs.txt", "--histories", tmp_path / "histories.txt",
         "--out", here / "figures"],
        ["report", "--results", tmp_path / "results", "--experiments", which[1], "--metrics", tmp_path / "metrics.txt",
         "--manifests", *manifests, "--out", tmp_path / "report.html"],
    ):  # fmt: skip
        assert main(list(map(str, line))) == 0
    assert (tmp_path / "report.html").read_text().count("data:image/svg+xml") == len(figures.NAMES["curves"]) - 1, (
        "no training curves"
    )
    found = gather(content, results.load(here / "records.csv"))
    with style.theme():
        digits = curves.draw(found).axes[1]
    assert digits.get_title() == "Digits" and [tick.get_text() for tick in digits.get_xticklabels()] == ["0"]
    mean = found.summary.query("target == 'digits'")["mean"].item()
    assert list(digits.lines[0].get_ydata()) == [100 * mean] * 2, "the level line"


def test_a_group_of_one_class_is_said_not_drawn():
    content = made.experiment()
    frame = made.records(content, accuracy)
    frame.loc[frame["target"].eq("shapes") & frame["target_subset"].eq("new"), "classes"] = 1
    with style.theme():
        figure = changes.draw(gather(content, frame), "clip")
    base, new = figure.axes
    assert labels(base) == labels(new) == ["Digits", "Shapes"], "one dataset is left: no average"
    assert [text.get_text() for text in new.texts].count(" one class only") == len(new.patches) == 2
    assert not any("one class" in text.get_text() for text in base.texts)


@pytest.mark.parametrize(
    ("kind", "draw_figure"), [("curves", curves), ("parameter_matched", parameters), ("ablation", ablation)]
)
def test_a_panel_without_results_says_so(kind, draw_figure):
    with style.theme():
        figure = draw_figure.draw(data(kind, lambda key: None if key["target"] == "digits" else 0.5))
    written = {axes.get_title(): {text.get_text() for text in axes.texts} for axes in figure.axes if axes.get_visible()}
    assert {title for title, texts in written.items() if "missing" in texts} == {"Average", "Digits"}


def test_a_cost_file_belongs_to_what_stands_beside_it(tmp_path):
    made.results_folder(tmp_path, made.experiment())
    costs = sorted((tmp_path / "results").rglob("cost.json"))
    jobs = [job_of(path) for path in costs]
    assert {(job.stage, job.settings["variant"], job.target) for job in jobs} == {
        *(("evaluate", variant, target) for variant in ("clip", "coop", "cocoop") for target in ("digits", "shapes")),
        *(("train", variant, None) for variant in ("coop", "cocoop")),
    }
    costs[0].with_name("metrics.json").unlink()
    with pytest.raises(UserError, match=r"neither learned\.safetensors nor metrics\.json is in its folder"):
        job_of(costs[0])
