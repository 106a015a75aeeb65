"""Escapes, files, and the same bytes every time."""

import re

import pandas as pd
import pytest

from cocoop import io
from cocoop.errors import UserError
from cocoop.reporting import tables
from cocoop.reporting.records import records as results
from cocoop.reporting.records.text import count, markdown_escape, per_cent
from cocoop.reporting.tables import rendering
from cocoop.reporting.tables.rendering import latex_escape, to_latex
from tests.reporting.records import made

AWKWARD = "A & B_1 | 50% #2 {x} ~ ^ \\ $ <b>"


def awkward_table():
    content = made.experiment(
        title=AWKWARD,
        caption=AWKWARD,
        train_datasets=[{"name": "digits", "title": AWKWARD}],
        variants=[made.CLIP, made.COOP],
    )
    return tables.build(content, made.records(content, lambda key: 0.5), None)[0]


def test_latex_escapes_everything():
    text = to_latex(awkward_table())
    escaped = r"A \& B\_1 $|$ 50\% \#2 \{x\} \textasciitilde{} \textasciicircum{} \textbackslash{} \$ $<$b$>$"
    assert text.count(escaped) == 4  # title, caption, and the dataset in the caption and once in its block
    assert not re.search(r"(?<!\\)[#%_](?!\s*needs)", text.split("\n", 1)[1])
    assert latex_escape("−1.00 ± 2.00 — 3† ✓ ✗") == r"$-$1.00 $\pm$ 2.00 --- 3$^\dagger$ $\surd$ $\times$"


def test_latex_has_booktabs_rules_and_bold():
    content = made.experiment(variants=[made.CLIP, made.COOP])
    lines = to_latex(
        tables.build(content, made.records(content, lambda key: 0.4 + key["shots"] / 100), None)[0]
    ).splitlines()
    assert lines[0] == r"% needs \usepackage{booktabs}"
    assert [line for line in lines if line.endswith("rule")] == [r"\toprule", *[r"\midrule"] * 3, r"\bottomrule"]
    assert r"\begin{tabular}{llrrr}" in lines
    assert r" & CoOp & \textbf{56.00 $\pm$ 0.00} & \textbf{56.00 $\pm$ 0.00} & \textbf{56.00 $\pm$ 0.00} \\" in lines


def test_markdown_escapes_pipes_and_markup():
    text = rendering.to_markdown(awkward_table())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
    assert markdown_escape("a|b*c_d`e[f]<g#\\") == r"a\|b\*c\_d\`e\[f\]\<g\#" + "\\\\"


def test_numbers_as_text():
    assert [per_cent(value) for value in (0.71664, 1.0, 0.0, None, float("nan"))] == [
        "71.66",
        "100.00",
        "0.00",
        "—",
        "—",
    ]
    assert [per_cent(value, sign=True) for value in (0.1319, -0.0763, -1e-9)] == ["+13.19", "−7.63", "+0.00"]
    assert [count(value) for value in (35360, pd.NA)] == ["35,360", "—"]


@pytest.fixture
def files(tmp_path):
    content = made.experiment()
    metrics = made.results_folder(tmp_path, content, images=4)
    folder = tmp_path / "results/experiments/base_to_new"
    results.collect(metrics, folder / "records.csv")
    return folder


def test_files_are_those_promised_and_the_same_each_time(files):
    for out in ("a", "b"):
        tables.build_all(files / "experiment.json", files / "records.csv", files / out)
    names = sorted(path.name for path in (files / "a").iterdir())
    forms = (".csv", "_wide.csv", ".md", ".tex", ".txt")
    assert names == sorted(name + form for name in tables.NAMES for form in forms)
    for name in names:
        assert (files / "a" / name).read_bytes() == (files / "b" / name).read_bytes(), name


def test_files_hold_fractions_and_rendered_tables_per_cent(files):
    tables.build_all(files / "experiment.json", files / "records.csv", files / "a")
    tidy, wide = pd.read_csv(files / "a/table.csv"), pd.read_csv(files / "a/table_wide.csv")
    assert tidy["mean"].between(0, 1).all() and wide[["Base", "New", "H"]].stack().between(0, 1).all()
    assert len(wide) == 3 * 3 and len(tidy) == 3 * 3 * 3
    cell = tidy.query("target == 'digits' and variant == 'clip' and metric == 'base'")["mean"].item()
    assert f"| {100 * cell:.2f} |" in re.sub(r"[ *]+", " ", (files / "a/table.md").read_text())


def test_bad_inputs_are_named(files):
    io.write_text(files / "records.csv", "x")
    with pytest.raises(UserError, match=r"records\.csv"):
        tables.build_all(files / "experiment.json", files / "records.csv", files / "c")
    assert not (files / "c").exists()
