"""The report: one file, nothing from outside, everything escaped, links that lead somewhere."""

import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest

from cocoop import io
from cocoop.io import REPOSITORY
from cocoop.reporting import figures, tables
from cocoop.reporting import page as report
from cocoop.reporting.page.classes import group
from cocoop.reporting.page.evaluations import find
from cocoop.reporting.records import records as results
from cocoop.reporting.tables import comparison
from tests.reporting.records import made

VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """Text, links, pictures and ids of a page; fails on tags that do not close in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.links, self.pictures, self.ids = [], [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.links += [attributes["href"]] if "href" in attributes else []
        self.pictures += [attributes["src"]] if "src" in attributes else []
        self.ids += [attributes["id"]] if "id" in attributes else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts += [data.strip()] if data.strip() else []


def build_results(root):
    contents = [
        made.experiment(title='<script>alert("x")</script> & more', caption="5 < 6 & 'so'"),
        made.experiment("parameter_matched", variants=[made.COOP | {"place": 1}, made.COCOOP | {"place": 2}]),
    ]
    for content in contents:
        metrics = made.results_folder(root, content, images=6)
        here = root / "results/experiments" / content["name"]
        results.collect(metrics, here / "records.csv")
        comparison.build(here / "experiment.json", metrics, here / "records.csv", here / "paired")
        figures.build_all(here / "experiment.json", here / "records.csv", [], [], here / "figures")
    return contents


def listed(root):
    """The metrics files and manifests below a folder."""
    return sorted((root / "results/runs").rglob("metrics.json")), sorted((root / "results").rglob("manifest.json"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("report")
    contents = build_results(root)
    report.build(root / "results", contents, *listed(root), root / "results/report.html", root / "data")
    return root


@pytest.fixture(scope="module")
def page(root):
    return Page((root / "results/report.html").read_text(encoding="utf-8"))


def test_nothing_comes_from_outside(root, page):
    text = (root / "results/report.html").read_text(encoding="utf-8")
    assert all(picture.startswith("data:image/") for picture in page.pictures)
    assert not re.search(r"<(link|iframe|object)\b|<script[^>]|@import|url\(", text)
    outside = [link for link in page.links if "://" in link]
    assert not outside


def test_names_are_shown_as_they_are_and_never_as_markup(page):
    shown = set(page.texts)
    assert set(made.AWKWARD) <= shown
    assert '<script>alert("x")</script> & more' in shown
    assert any(text.startswith("5 < 6 & 'so' Backbone: Tiny CLIP.") for text in shown)


def test_links_lead_to_files_and_places(root, page):
    assert len(page.ids) == len(set(page.ids))
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        else:
            assert (root / "results" / unquote(link)).is_file(), link
    names = {unquote(link).rsplit("/", 1)[-1] for link in page.links if not link.startswith("#")}
    assert {"metrics.json", "predictions.safetensors", "learned.safetensors", "history.csv", "seeds1.log"} <= names


def test_tables_figures_versions_and_settings_are_there(root, page):
    shown = " ".join(page.texts)
    for text in (
        "Average over 2 datasets",
        "abc123",
        "torch 2.6",
        "words: a photo of a",
        "Change against CLIP",
        "2,696",
    ):
        assert text in shown
    svg = [picture for picture in page.pictures if picture.startswith("data:image/svg+xml")]
    unmeasured = {"training_curves", "cost"}  # the figures were drawn without histories and costs
    drawn = [
        name for kind in ("base_to_new", "parameter_matched") for name in figures.NAMES[kind] if name not in unmeasured
    ]
    assert len(svg) == len(drawn)
    settings = io.read_json(next((root / "results/runs").rglob("metrics.json")), "metrics")["run"]
    assert io.canonical_json(settings) in page.texts


def test_confused_pairs_have_pictures_of_confused_images(page):
    thumbnails = [picture for picture in page.pictures if picture.startswith("data:image/jpeg")]
    assert len(thumbnails) > 20


def test_without_images_there_are_no_pictures_but_all_the_rest(root, tmp_path):
    contents = [
        io.read_json(path, "experiment") for path in sorted((root / "results/experiments").glob("*/experiment.json"))
    ]
    report.build(root / "results", contents, *listed(root), root / "results/plain.html")
    text = (root / "results/plain.html").read_text(encoding="utf-8")
    assert "data:image/jpeg" not in text and "Most confused" in text


def test_the_same_bytes_each_time_and_without_torch(root):
    code = (
        "import sys\nfrom pathlib import Path\nfrom cocoop import io\nfrom cocoop.reporting import page as report\n"
        "root = Path(sys.argv[1])\n"
        "names = ('base_to_new', 'parameter_matched')\n"
        "contents = [io.read_json(root / f'results/experiments/{n}/experiment.json', 'experiment') for n in names]\n"
        "metrics = sorted((root / 'results/runs').rglob('metrics.json'))\n"
        "manifests = sorted((root / 'results/datasets').rglob('manifest.json'))\n"
        "report.build(root / 'results', contents, metrics, manifests, root / 'results/again.html', root / 'data')\n"
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(root)], cwd=REPOSITORY, check=True, capture_output=True)
    assert (root / "results/again.html").read_bytes() == (root / "results/report.html").read_bytes()


def test_classes_and_confusions_are_counted_over_seeds_once(root):
    contents = [
        io.read_json(path, "experiment") for path in sorted((root / "results/experiments").glob("*/experiment.json"))
    ]
    jobs = find(root / "results", listed(root)[0], contents)
    groups = group(jobs, {"digits": "Digits", "shapes": "Shapes"})
    assert [(found.target, found.subset) for found in groups] == [
        ("digits", "base"), ("digits", "new"), ("shapes", "base"), ("shapes", "new"),
    ]  # fmt: skip
    tallies = groups[0].series
    coop = next(tally for key, tally in tallies.items() if key[1] == "coop")
    assert coop.seeds == [1, 2, 3] and set(coop.total.values()) == {3 * 6}
    records = [
        r
        for job in jobs
        for r in job.records
        if r["variant"] == "coop" and (r["target"], r["target_subset"]) == ("digits", "base")
    ]
    for label in (0, 1, 2):
        assert coop.correct[label] == sum(
            entry["correct"] for r in records for entry in r["classes"] if entry["label"] == label
        )
    wrong = sum(coop.total.values()) - sum(coop.correct.values())
    assert sum(coop.confused.values()) == wrong
    rates = [row.rates for row in groups[0].rows()]
    assert [sum(rate) for rate in rates] == sorted(sum(rate) for rate in rates), "hardest first"


def test_missing_runs_are_named(root, tmp_path):
    content = made.experiment(variants=[made.CLIP, made.COOP])
    here = tmp_path / "results/experiments/base_to_new"
    metrics = [path for path in made.results_folder(tmp_path, content, images=2) if "/clip/" in str(path)]
    results.collect(metrics, here / "records.csv")
    report.build(tmp_path / "results", [content], *listed(tmp_path), tmp_path / "report.html")
    assert "CoOp trained on digits (base), 16 shots, seeds 1, 2, 3, tested on digits (base, new)" in (
        tmp_path / "report.html"
    ).read_text(encoding="utf-8")


def test_the_table_of_costs_is_that_of_the_tables_stage(tmp_path):
    content = made.experiment()
    metrics = made.results_folder(tmp_path, content, images=2)
    here = tmp_path / "results/experiments/base_to_new"
    results.collect(metrics, here / "records.csv")
    costs = sorted((tmp_path / "results/runs").rglob("cost.json"))
    built = tables.build_all(here / "experiment.json", here / "records.csv", here / "tables", costs)
    report.build(tmp_path / "results", [content], *listed(tmp_path), tmp_path / "report.html")
    texts = Page((tmp_path / "report.html").read_text(encoding="utf-8")).texts
    start = texts.index("Training (s)")
    cells = [cell.text for row in built[-1].rows for cell in row if cell.text]
    assert texts[start + 4 : start + 4 + len(cells)] == cells
    for note in built[-1].notes:
        assert note in texts
