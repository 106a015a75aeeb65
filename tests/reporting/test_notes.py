"""Every kind of note reaches every table in every form, the figures, the report and the terminal."""

import re

import pandas as pd
import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.planning import Plan, experiment_content, experiment_file
from cocoop.planning.files import load
from cocoop.reporting.figures import style
from cocoop.reporting.tables.rendering import latex_escape
from cocoop.reporting.tables.showing import show_notes
from tests.reporting.records import made

LEAK = "digits: leakage: 2 images stand in train and in test: a_1.png, b.png"
SAME = "tiny CLIP sees 90 % of the classes of shapes alike"
FEW = "Shapes (base classes), 16 shots: a class has only 3 images to train on; all of them are used."
ONE = "One class only: Shapes (new). Every answer is right, so no number is shown"
KINDS = {"of the data": LEAK, "of the backbone": SAME, "fewer images than shots": FEW, "a half of one class": ONE}
FIGURES = ("change_vs_clip", "change_vs_coop", "training_curves")


def config():
    """The demo with digits, letters and shapes as the only datasets."""
    changed = {"train_datasets": ["digits", "letters", "shapes"], "variants": ["clip", "coop", "cocoop"]}
    return load() | {"experiments": {"base_to_new": changed | {"paper": None}}}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """An experiment through the commands that the workflow calls, from metrics to report."""
    root = tmp_path_factory.mktemp("notes")
    io.write_text(root / "mine.yaml", io.canonical_json(config()))
    content = {"schema": 1, "kind": "experiment", **experiment_content(Plan(config()), "base_to_new")}
    metrics = made.results_folder(root, content, images=4, notes=(SAME, LEAK), one_class=("shapes",))
    labels = {
        "digits": 6 * [0, 1, 2, 3, 4, 5],
        "letters": 16 * [0, 1, 2, 3, 4, 5],
        "shapes": [0, 0, 0, *range(1, 6), 1, 2, 1, 2],
    }
    for dataset in ("letters", "shapes"):
        drawn = {"dataset": dataset, "shots": 16, "classnames": made.AWKWARD, "labels": labels[dataset]}
        if dataset == "shapes":
            drawn["labels"] = 3 * [0, 1, 2] + [3, 4, 5]
        for seed in (1, 2, 3):
            body = {"schema": 1, "kind": "fewshot", "seed": seed, **drawn}
            io.write_json(root / f"fewshot/{dataset}_{seed}.json", body)
    io.write_text(root / "metrics.txt", "\n".join(map(str, metrics)))
    for name in ("cost.json", "history.csv"):
        io.write_text(root / f"{name}.txt", "\n".join(map(str, sorted((root / "results").rglob(name)))))
    here = root / "results/experiments/base_to_new"
    io.write_json(here / experiment_file(Plan(config()), "base_to_new"), content)
    which, records = ["--experiment", here / "experiment.json"], ["--records", here / "records.csv"]
    tested = ["--metrics", root / "metrics.txt"]
    for line in (
        ["collect", *tested, "--fewshot", *sorted((root / "fewshot").iterdir()), "--out", here / "records.csv"],
        ["tables", *which, *records, "--out", here / "tables"],
        ["paired", *which, *tested, *records, "--out", here / "paired"],
        ["figures", *which, *records, *drawn_from(root), "--out", here / "figures"],
        ["report", "--results", root / "results", "--experiments", which[1], *tested,
         "--manifests", *sorted((root / "results").rglob("manifest.json")), "--out", root / "results/report.html"],
    ):  # fmt: skip
        assert main(list(map(str, line))) == 0, line
    return root


def drawn_from(root):
    return ["--costs", root / "cost.json.txt", "--histories", root / "history.csv.txt"]


@pytest.fixture
def tables(root):
    return root / "results/experiments/base_to_new/tables"


def flat(text: str) -> str:
    return " ".join(text.split())


@pytest.mark.parametrize("note", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("name", ["table", "spread"])
def test_every_kind_of_note_is_under_every_form_of_a_table(tables, name, note):
    assert note in flat((tables / f"{name}.txt").read_text())
    assert note in re.sub(r"\\(?=[_\[\]*])", "", (tables / f"{name}.md").read_text())
    assert latex_escape(note) in (tables / f"{name}.tex").read_text()


@pytest.mark.parametrize("note", KINDS.values(), ids=KINDS)
def test_every_kind_of_note_is_in_report_comparison_and_terminal(root, note, capsys):
    page = (root / "results/report.html").read_text()
    assert page.count(note) == 1, "under the first table; those below it do not repeat it"
    assert note in re.sub(
        r"\\(?=[_\[\]*])", "", (root / "results/experiments/base_to_new/paired/paired.md").read_text()
    )
    assert main(["show", "--results", str(root / "results"), "--configfile", str(root / "mine.yaml")]) == 0
    assert note in flat(capsys.readouterr().out)


@pytest.mark.parametrize("note", KINDS.values(), ids=KINDS)
def test_every_kind_of_note_is_in_the_list_at_the_end_of_a_run(root, note, capsys):
    show_notes(Plan(config()), root / "results")
    assert note in capsys.readouterr().out


def test_notes_are_below_the_figures_they_concern(root, monkeypatch):
    """Figures hold text as outlines, so this looks at what is written into them."""
    written, save = {}, style.save

    def kept(figure, path, notes=()):
        written[path.name] = notes
        return save(figure, path, notes)

    monkeypatch.setattr(style, "save", kept)
    here = root / "results/experiments/base_to_new"
    arguments = [
        "--experiment",
        here / "experiment.json",
        "--records",
        here / "records.csv",
        *drawn_from(root),
    ]
    assert main(["figures", *map(str, arguments), "--out", str(root / "again")]) == 0
    for name in FIGURES:
        assert [any(note in text for text in written[name]) for note in KINDS.values()] == [True] * 4, name
    assert written["cost"] == (), "what the data are like does not change what a run costs"


def test_a_half_of_one_class_has_no_number_no_star_and_is_in_no_average(tables):
    rows = (tables / "table.txt").read_text().splitlines()
    shapes = [line.split() for line in rows[rows.index(next(line for line in rows if line.startswith("Shapes"))) :][:3]]
    assert [line[-2:] for line in shapes] == [["—‡", "—‡"]] * 3
    assert any(line.startswith("Average over 2 of 3 datasets") for line in rows)
    frame = pd.read_csv(tables / "table.csv").set_index(["target", "variant", "metric"]).sort_index()
    assert frame.loc["shapes"].query("metric != 'base'")["mean"].isna().all()
    assert frame.loc["shapes", "one_class"].groupby("metric").all().to_dict() == {"base": False, "h": True, "new": True}
    for variant in ("clip", "coop", "cocoop"):
        for metric in ("base", "new"):
            means = [frame.loc[(dataset, variant, metric), "mean"] for dataset in ("digits", "letters")]
            assert frame.loc[("average", variant, metric), "mean"] == pytest.approx(sum(means) / 2)
        assert frame.loc[("shapes", variant, "new"), "n"] == frame.loc[("digits", variant, "new"), "n"], (
            "nothing is missing"
        )


def test_a_half_of_one_class_is_not_compared_image_by_image(root):
    frame = pd.read_csv(root / "results/experiments/base_to_new/paired/paired.csv")
    assert set(frame[frame["target"] == "shapes"]["target_subset"]) == {"base"}
    assert set(frame[frame["target"] == "digits"]["target_subset"]) == {"base", "new"}


def test_caption_says_how_few_images_there_were(tables):
    caption = "16 shots (fewer in a class that has fewer images: as few as 3 images) and 3 seeds; CLIP not trained."
    for form in ("md", "tex"):
        assert caption in (tables / f"table.{form}").read_text()
    assert caption in flat((tables / "table.txt").read_text())


def test_records_without_their_notes_are_refused(root, tmp_path, capsys):
    here = root / "results/experiments/base_to_new"
    for name in ("records.csv", "records.csv.sha256"):
        (tmp_path / name).write_bytes((here / name).read_bytes())
    line = [
        "tables",
        "--experiment",
        here / "experiment.json",
        "--records",
        tmp_path / "records.csv",
        "--out",
        tmp_path / "t",
    ]
    assert main(list(map(str, line))) == 2
    assert "records.csv.notes.json: no such notes file" in capsys.readouterr().err
    assert not (tmp_path / "t").exists()
