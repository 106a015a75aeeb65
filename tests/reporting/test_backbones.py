"""An experiment with two backbones: their numbers stand below each other and are never averaged or compared."""

import json

import pandas as pd
import pytest

from cocoop.reporting import figures, tables
from cocoop.reporting import page as report
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import paired, records
from cocoop.reporting.tables import comparison, rendering
from tests.reporting.records import made

TWO = [
    {"name": "tiny", "label": "Tiny CLIP", "imagenet_zero_shot": {"accuracy": 12.5, "source": "a paper"}},
    {"name": "tiny_vit", "label": "Tiny ViT"},
]


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder with all files of the experiment, as the workflow makes them."""
    root = tmp_path_factory.mktemp("two")
    content = made.experiment(backbones=TWO)
    metrics = made.results_folder(root, content, images=4)
    here = root / "results/experiments" / content["name"]
    costs, histories = sorted((root / "results").rglob("cost.json")), sorted((root / "results").rglob("history.csv"))
    records.collect(metrics, here / "records.csv")
    comparison.build(here / "experiment.json", metrics, here / "records.csv", here / "paired")
    tables.build_all(here / "experiment.json", here / "records.csv", here / "tables", costs)
    figures.build_all(here / "experiment.json", here / "records.csv", costs, histories, here / "figures")
    report.build(
        root / "results", [content], metrics, sorted(root.rglob("manifest.json")), root / "results/report.html"
    )
    return here, content


def alone(content: dict, place: int) -> dict:
    """The experiment with one of the backbones."""
    return {key: value for key, value in content.items() if key != "backbone"} | {"backbones": TWO[place : place + 1]}


def body(text: str) -> list[list[str]]:
    """The cells of a Markdown table's lines, without its heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")][2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_a_table_has_a_block_for_each_backbone_with_its_own_numbers(results):
    here, content = results
    rows = body((here / "tables/table.md").read_text())
    frame = records.load(here / "records.csv")
    expected = []
    for place, backbone in enumerate(TWO):
        [first, *_] = tables.build(alone(content, place), frame, None)
        lines = body(rendering.to_markdown(first))
        expected += [[backbone["label"] if not number else "", *line] for number, line in enumerate(lines)]
    assert rows == expected
    assert [row[0] for row in rows if row[0]] == ["Tiny CLIP", "Tiny ViT"]
    averages = [row[3] for row in rows if "Average" in row[1]]
    assert len(averages) == 2 and averages[0] != averages[1]


def test_a_table_with_one_backbone_has_no_column_for_it(results):
    here, content = results
    for table in tables.build(alone(content, 0), records.load(here / "records.csv"), None):
        assert "Backbone" not in table.header and "backbone" not in table.tidy
        assert "Backbone: Tiny CLIP." in table.caption


def test_files_of_two_backbones_name_them_in_a_column(results):
    here, _ = results
    for name in ("table.csv", "table_wide.csv", "spread.csv", "cost.csv"):
        frame = pd.read_csv(here / "tables" / name)
        assert list(frame["backbone"].unique()) == ["tiny", "tiny_vit"], name
    assert "Backbones: Tiny CLIP and Tiny ViT." in (here / "tables/table.md").read_text()
    assert r"\midrule" in (here / "tables/table.tex").read_text()
    compared = pd.read_csv(here / "paired/paired.csv")
    assert list(compared["backbone"].unique()) == ["tiny", "tiny_vit"]


def test_numbers_of_a_cost_are_those_of_its_backbone(results):
    here, _ = results
    frame = pd.read_csv(here / "tables/cost.csv")
    assert len(frame) == len(frame[["backbone", "variant", "shots"]].drop_duplicates()) == 2 * 3


def test_paired_comparisons_stay_within_a_backbone(results):
    here, content = results
    frame = pd.read_csv(here / "paired/paired.csv")
    metrics = sorted((here.parents[1] / "runs").rglob("metrics.json"))
    for place, backbone in enumerate(TWO):
        (one,) = experiments.of_each(alone(content, place))
        expected = paired.compare(one, paired.read(one, metrics))
        found = frame[frame["backbone"] == backbone["name"]].drop(columns="backbone")
        assert found["difference"].tolist() == pytest.approx(expected["difference"].tolist())


def test_figures_exist_for_each_backbone_and_one_across_them(results):
    here, content = results
    names = {path.stem for path in (here / "figures").glob("*.svg")}
    kinds = figures.NAMES["base_to_new"]
    assert names == {figures.ACROSS} | {f"{kind}_{backbone['name']}" for kind in kinds for backbone in TWO}
    assert names == set(figures.files(content))
    words = json.loads((here / "figures" / figures.WORDS).read_text())["figures"]
    assert set(words) == names and words["cost_tiny_vit"]["title"] == "Cost of a run (Tiny ViT)"
    told = words[figures.ACROSS]["alternative"]
    assert "Tiny CLIP, 2 GFLOPs: CLIP " in told and "Tiny ViT, 4 GFLOPs: CLIP " in told
    across = (here / "figures" / f"{figures.ACROSS}.svg").read_text()
    assert "GFLOPs of the image encoder for one image" in across
    for label in ("Tiny CLIP", "Tiny ViT", "CoCoOp"):
        assert label in across
    assert "Backbone: Tiny ViT." in (here / "figures/cost_tiny_vit.svg").read_text()


def test_figures_of_one_backbone_keep_their_names(results):
    assert list(figures.files(alone(results[1], 1))) == list(figures.NAMES["base_to_new"])


def test_the_report_shows_both_and_keeps_their_classes_apart(results):
    here, _ = results
    page = (here.parents[1] / "report.html").read_text()
    assert "Backbones: Tiny CLIP, Tiny ViT." in page
    assert "CoOp (Tiny CLIP), trained on" in page and "CoOp (Tiny ViT), trained on" in page
    assert "Accuracy against the cost of the image encoder" in page
    for heading in ("Tiny CLIP: Digits", "Tiny ViT: Digits"):
        assert f'<th scope="rowgroup" colspan="4"><span>{heading}</span>' in page
    assert "Cost of a run (Tiny ViT)." in page and 'href="experiments/base_to_new/figures/cost_tiny_vit.pdf"' in page


def test_missing_records_are_noted_with_their_backbone(results, tmp_path):
    here, content = results
    frame = records.load(here / "records.csv")
    frame = frame[~((frame["backbone"] == "tiny_vit") & (frame["variant"] == "coop") & (frame["seed"] == 2))]
    [table, *_] = tables.build({k: v for k, v in content.items() if k != "backbone"}, frame, None)
    assert any(note.startswith("Tiny ViT: — Missing, so every mean over it is blank: CoOp") for note in table.notes)


def test_published_numbers_stand_beside_their_own_backbone(results, tmp_path):
    """A row of another backbone is not shown; the table of the backbone that has one is named after it."""
    here, content = results
    printed = {
        "title": "A paper", "setting": "few shots", "verified": True, "average_over": [], "sources": ["a paper"], "shots": 16,
        "rows": {"coop": {"variant": "coop", "run_by": "authors", "source": "a paper", "backbone": "tiny_vit"}},
        "values": {"digits": {"coop": {"base": 50.0, "new": 40.0}}},
    }  # fmt: skip
    (tmp_path / "made.yaml").write_text(json.dumps(printed))
    papers = tables.paper.load(tmp_path)
    built = tables.build(
        {k: v for k, v in content.items() if k != "backbone"} | {"paper": "made"},
        records.load(here / "records.csv"),
        papers,
    )
    assert [table.name for table in built] == ["table", "against_paper_tiny_vit", "spread"]
    assert "(Tiny ViT)" in built[1].title


def test_imagenets_published_accuracy_stands_below_ours():
    """Of zero-shot CLIP on all classes; not of other datasets, methods or classes."""
    imagenet = {"name": "imagenet", "title": "ImageNet"}
    content = made.experiment(
        "transfer", backbones=TWO[:1], variants=[made.CLIP, made.COOP], train_datasets=[imagenet], train_subset="all",
        targets=[imagenet, {"name": "digits", "title": "Digits"}], target_subsets=["all"],
    )  # fmt: skip
    frame = made.records(content, lambda key: 0.111 if key["variant"] == "clip" else 0.2)
    [table, _, spread] = tables.build(content, frame, None)
    said = [note for note in table.notes if "published" in note]
    assert said == [
        "Zero-shot accuracy on ImageNet with these weights: 12.50 published (a paper; usually with an ensemble of 80 templates), "
        "here CLIP 11.10."
    ]
    assert not [note for note in spread.notes if "12.50" in note]
    elsewhere = made.experiment(backbones=TWO[:1])
    assert not [
        n for n in tables.build(elsewhere, made.records(elsewhere, lambda _: 0.5), None)[0].notes if "12.50" in n
    ]
