"""The page of published numbers: complete, up to date, by year, transductive methods apart, ours among them."""

import pytest
import yaml

from cocoop.cli import main
from cocoop.config import Registry
from cocoop.config.paper import publications
from cocoop.errors import UserError
from cocoop.io import REPOSITORY
from cocoop.reporting import page as report
from cocoop.reporting.records import experiment as experiments
from cocoop.reporting.records import records as results
from cocoop.reporting.records import statistics
from cocoop.reporting.tables import entries, paper, published, published_page
from cocoop.reporting.tables.grids import METRICS
from tests.reporting.records import made

PAGE = "docs/published.md"
ROWS = {
    "coop": {"variant": "coop", "run_by": "authors", "backbone": "tiny", "source": "A table"},
    "kd": {"method": "promptkd", "run_by": "others", "backbone": "tiny", "source": "A note", "verified": False},
    "new": {"method": "mmrl", "run_by": "authors", "backbone": "tiny", "source": "Its README"},
}
VALUES = {
    "digits": {"coop": {"base": 60.0, "std": {"base": 1.25}}, "new": {"base": 70.0}, "kd": {"base": 80.0}},
    "shapes": {"coop": {"base": 50.0}, "new": {"base": 72.0}},
}


def papers(folder, rows=ROWS, values=VALUES):
    content = {
        "title": "Published", "setting": "as it was", "shots": 16, "verified": True, "rows": rows,
        "average_over": ["digits", "shapes"], "values": values,
    }  # fmt: skip
    (folder / "published.yaml").write_text(yaml.safe_dump(content))
    return paper.load(folder)


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def ours(value=0.55, **changes):
    content = made.experiment(paper="published", target_subsets=["base"], variants=[made.COOP], **changes)
    records = made.records(content, lambda key: value + 0.01 * key["seed"]).assign(backbone=content["backbone"]["name"])
    return [(content, statistics.summarize(content, experiments.select(content, records)))]


def test_the_page_in_docs_is_up_to_date():
    written = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    assert published_page.markdown() == written, f"run python -m cocoop published --out {PAGE}"


def test_the_command_writes_or_prints_the_page(tmp_path, capsys):
    assert main(["published", "--out", str(tmp_path / "page.md")]) == 0
    capsys.readouterr()
    assert main(["published"]) == 0
    assert capsys.readouterr().out == (tmp_path / "page.md").read_text(encoding="utf-8")


def test_every_published_row_is_on_the_page_with_its_source():
    page = " ".join(published_page.markdown().replace("\\", "").split())
    for table in (table for table in paper.load().values() if table.described):
        for row in table.rows.values():
            assert row.source.replace("\\", "") in page


def test_every_published_number_is_there_with_its_backbone():
    for table in (table for table in paper.load().values() if table.described):
        printed = {
            (row.backbone, target, metric, values)
            for name, row in table.rows.items()
            for target, rows in table.values.items()
            for metric, values in rows.get(name, {}).items()
            if metric in METRICS
        }
        found = {(entry.backbone, *place[:2]) for entry in entries.published(table) for place in entry.numbers}
        assert found == {(backbone or entries.UNKNOWN, target, metric) for backbone, target, metric, _ in printed}
        rows = {(entry.backbone, frozenset(entry.numbers.items())) for entry in entries.published(table)}
        assert len(rows) <= len(list(entries.published(table))) <= len(table.rows)


def test_rows_of_a_table_differ_by_backbone(tmp_path):
    rows = {name: ROWS["coop"] | {"backbone": backbone} for name, backbone in (("small", "tiny"), ("large", "vit_b16"))}
    table, *_ = published.tables(
        papers(tmp_path, rows, {"digits": {"small": {"base": 60.0}, "large": {"base": 90.0}}}).values()
    )
    assert [(row[2], row[-1]) for row in texts(table)] == [("tiny", "60.00"), ("vit_b16", "90.00")]


def test_every_row_belongs_to_a_publication_that_is_described():
    variants, known = Registry().variants, set()
    for table in (table for table in paper.load().values() if table.described):
        known |= {row.method or variants[str(row.variant)].method for row in table.rows.values()}
    assert known == set(publications())


def test_rows_are_by_year_and_transductive_methods_apart(tmp_path):
    inductive, transductive = published.tables(papers(tmp_path).values())
    assert [row[:3] for row in texts(inductive)] == [["2022", "CoOp", "IJCV 2022"], ["2025", "MMRL", "CVPR 2025"]]
    assert inductive.header == ("Year", "Method", "Venue", "Run by", "Average", "Digits", "Shapes")
    assert texts(inductive)[0][3:] == ["authors [1]", "55.00¶", "60.00 ± 1.25", "50.00"]
    assert [row[1] for row in texts(transductive)] == ["PromptKD"] and "80.00†" in texts(transductive)[0]
    assert "transductive" in transductive.title
    assert "unlabelled training images of all classes" in transductive.notes[0]


def test_years_never_go_back_and_unknown_ones_are_last():
    for table in published.tables(paper.load().values()):
        years = [9999 if row[0] == "?" else int(row[0]) for row in texts(table)]
        assert years == sorted(years) and years, table.title


def test_ours_stand_below_the_published_row_of_the_same_place(tmp_path):
    inductive, _ = published.tables(papers(tmp_path).values(), ours())
    rows = texts(inductive)
    assert [row[3] for row in rows] == ["authors [1]", "this benchmark [2]", "authors [4]"]
    assert rows[1][1:2] + rows[1][4:] == ["CoOp", "57.00 ± 1.00", "57.00 ± 1.00", "57.00 ± 1.00"]
    assert inductive.notes[1].startswith("[2] CoOp. Ours: CoOp: this benchmark, experiment base_to_new, 3 seeds")


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": {"name": "rn50", "label": "RN50"}},
        {"shots": [4]},
        {"drawn": {"label_noise": {"rates": [0.5]}}},
        {"train_datasets": [{"name": "letters", "title": "L"}]},
    ],
    ids=["backbone", "shots", "draw", "dataset"],
)
def test_ours_of_another_setting_do_not_join(tmp_path, changes):
    table, *_ = published.tables(papers(tmp_path).values(), ours(**changes))
    assert not any("this benchmark" in text for row in texts(table) for text in row)


def test_an_average_over_other_datasets_does_not_join(tmp_path):
    more = [{"name": name, "title": name} for name in ("digits", "shapes", "letters")]
    table, *_ = published.tables(papers(tmp_path).values(), ours(train_datasets=more))
    assert texts(table)[1][3:5] == ["this benchmark [2]", ""]


def test_the_report_and_the_command_have_ours(tmp_path, monkeypatch, capsys):
    (tmp_path / "papers").mkdir()
    found = papers(tmp_path / "papers")
    monkeypatch.setattr(paper, "load", lambda: found)
    content = made.experiment(paper="published")
    metrics = made.results_folder(tmp_path, content, images=4)
    here = tmp_path / "results/experiments/base_to_new"
    (here / "experiment.json").rename(here / "experiment-1.json")
    results.collect(metrics, here / "records.csv")
    manifests = sorted((tmp_path / "results").rglob("manifest.json"))
    report.build(tmp_path / "results", [content], metrics, manifests, tmp_path / "report.html")
    assert '<section id="published">' in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "this benchmark [2]" in (tmp_path / "report.html").read_text(encoding="utf-8")
    assert main(["published", "--results", str(tmp_path / "results")]) == 0
    assert "this benchmark" in capsys.readouterr().out


def test_a_row_without_variant_and_method_or_with_an_unknown_one_is_named(tmp_path):
    nobody = {name: value for name, value in ROWS["kd"].items() if name != "method"}
    with pytest.raises(UserError, match=r"rows\.kd: key 'variant' or 'method' is missing; name the variant"):
        papers(tmp_path, ROWS | {"kd": nobody})
    with pytest.raises(UserError, match=r"rows\.kd\.method: unknown method 'promptk'.*Did you mean 'promptkd'"):
        papers(tmp_path, ROWS | {"kd": ROWS["kd"] | {"method": "promptk"}})
