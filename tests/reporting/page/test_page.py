"""The report in a browser without a network: what it may load, what its filters and row headers find, what figures say."""

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from cocoop.reporting import figures
from cocoop.reporting import page as report
from cocoop.reporting.figures import looks
from cocoop.reporting.page import view
from cocoop.reporting.page.view import Names
from cocoop.reporting.records import records as results
from cocoop.reporting.tables.rendering import Cell
from tests.reporting.page.test_report import build_results, listed
from tests.reporting.records import made

MANY = [
    made.CLIP,
    made.COOP,
    made.COCOOP,
    *({**made.COOP, "name": f"coop{n}", "label": f"CoOp, {n} words"} for n in (4, 8)),
]


class Tags(HTMLParser):
    """All tags with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def of(self, name):
        return [attributes for tag, attributes in self.found if tag == name]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    root = tmp_path_factory.mktemp("page")
    contents = build_results(root)
    report.build(root / "results", contents, *listed(root), root / "results/report.html", root / "data")
    return (root / "results/report.html").read_text(encoding="utf-8")


def built(root, content):
    metrics = made.results_folder(root, content, images=2)
    results.collect(metrics, root / "results/experiments" / content["name"] / "records.csv")
    report.build(root / "results", [content], *listed(root), root / "results/report.html")
    return (root / "results/report.html").read_text(encoding="utf-8")


def test_a_browser_runs_and_loads_only_what_the_page_holds(text):
    [policy] = [one["content"] for one in Tags(text).of("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    parts = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert parts["default-src"] == "'none'" and parts["img-src"] == "data:"
    for tag in ("script", "style"):
        [content] = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert parts[f"{tag}-src"] == f"'sha256-{digest}'"
    assert not any(
        name.startswith("on") or name == "style" for _, attributes in Tags(text).found for name in attributes
    )


def test_the_top_says_when_and_with_which_code(text):
    assert "Computed 2026-11-28 with commit abc123. Backbone: Tiny CLIP. 2 experiments, 2 datasets, 3 variants," in text


def test_every_row_has_a_header_and_every_section_content(text):
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.DOTALL)
    assert len(rows) > 50
    assert not [row for row in rows if not re.search(r"<th[^>]* scope=|no confusion", row)]
    assert not re.search(r"<(section|ul|tbody|p|figure|div)[^>]*>\s*</\1>", text)


def test_figures_tell_their_numbers_and_their_whiskers(text):
    found = [one for one in Tags(text).of("img") if one["src"].startswith("data:image/svg")]
    assert all(len(one["alt"]) > 60 for one in found)
    [change] = [
        one["alt"] for one in found if one["alt"].startswith("Horizontal bars: change in accuracy against CLIP")
    ]
    values = dict(re.findall(r"(CoOp|CoCoOp) ([+\N{MINUS SIGN}]\d+\.\d\d)", change))
    assert set(values) == {"CoOp", "CoCoOp"} and "Average" in change and "New classes: " in change
    assert "whiskers: ± one standard deviation of the change of each seed over seeds (ddof 1)" in text
    for form in ("svg", "pdf", "png"):
        assert f'href="experiments/base_to_new/figures/change_vs_clip.{form}"' in text


def test_a_method_has_one_colour_in_tables_and_figures(text):
    css = dict(re.findall(r"\.look(\d+) { background: (#[0-9a-f]{6}); }", text))
    assert css == {str(place): looks.css_color(place) for place in range(3)}
    for place, label in enumerate(("CLIP", "CoOp", "CoCoOp")):
        assert set(re.findall(rf'look look(\d)"></i>{label}[<,]', text)) == {str(place)}


def test_many_methods_can_be_filtered(tmp_path, text):
    assert "<form" not in text
    found = Tags(built(tmp_path, made.experiment(variants=MANY)))
    boxes = {(one["name"], one["value"]) for one in found.of("input")}
    assert boxes == {*(("method", one["name"]) for one in MANY), ("dataset", "digits"), ("dataset", "shapes")}
    for kind, names in (("method", {one["name"] for one in MANY}), ("dataset", {"digits", "shapes"})):
        marked = {word for _, one in found.found for word in (one.get(f"data-{kind}") or "").split()}
        assert marked == names


def test_rows_of_a_dataset_form_a_block_and_know_their_method():
    names = Names([made.experiment(variants=MANY)])
    rows = [
        [Cell(a), Cell(b), Cell("1")]
        for a in ("Average over 2 datasets", "Digits (source)")
        for b in ("CLIP", "CoOp, 4 words")
    ]
    found = view.build("A table", ("Dataset", "Method", "New"), rows, 2, names)
    assert [(block.title, block.datasets) for block in found.blocks] == [
        ("Average over 2 datasets", ""),
        ("Digits (source)", "digits"),
    ]
    assert [row.methods for block in found.blocks for row in block.rows] == ["clip", "coop4"] * 2
    assert [cell.text for cell in found.head] == ["Method", "New"]
    assert [cell.heads for cell in found.blocks[0].rows[0].cells] == [True, False]


def test_columns_of_a_method_are_found_with_those_that_belong_to_it():
    names = Names([made.experiment(variants=MANY)])
    found = view.build("", ("Target", "CLIP", "paper", "CoOp"), [[Cell("Digits"), *map(Cell, "123")]], 1, names)
    assert [cell.methods for cell in found.head] == ["", "clip", "clip", "coop"]
    assert [cell.look for cell in found.head] == [None, 0, None, 1]
    assert [cell.methods for cell in found.blocks[0].rows[0].cells] == ["", "clip", "clip", "coop"]


def test_a_comparison_with_a_method_that_is_not_there_is_left_out(tmp_path):
    content = made.experiment(variants=[made.COOP, made.COCOOP])
    text = built(tmp_path, content)
    here = tmp_path / "results/experiments/base_to_new"
    figures.build_all(here / "experiment.json", here / "records.csv", [], [], here / "figures")
    assert sorted(path.stem for path in (here / "figures").glob("*.svg")) == ["accuracy_against_cost", "change_vs_coop"]
    report.build(tmp_path / "results", [content], *listed(tmp_path), tmp_path / "results/report.html")
    text = (tmp_path / "results/report.html").read_text(encoding="utf-8")
    assert text.count("<figure>") == 2 and "Nothing to draw" not in text and "next to" not in text
