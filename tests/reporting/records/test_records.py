"""records.csv: what goes in comes out, doubles and contradictions are noticed."""

import subprocess

import pytest

from cocoop import io
from cocoop.cli import main
from cocoop.config import measures
from cocoop.errors import UserError
from cocoop.reporting.records import records as results
from cocoop.reporting.records.records import COLUMNS, KEY
from tests.reporting.records import made


def metrics_file(path, rows, **changes):
    parameters = {"trained": 2696, "without_biases": 2560, "tensors": {"ctx": [4, 128]}}
    content = {"schema": 1, "kind": "metrics", "run": {}, "parameters": parameters, "records": rows} | changes
    io.write_json(path, content)
    return path


def row(**changes):
    key = made.experiment()["expected"][-1]
    found = {name: value for name, value in made.record(key, 0.5).items() if name in COLUMNS}
    found["measures"] = {name: found.pop(name) for name in measures.COLUMNS}
    return found | {"classes": [{"label": 0}, {"label": 1}]} | changes


def test_rows_are_those_of_the_files_with_parameters(tmp_path):
    first = metrics_file(tmp_path / "a.json", [row(seed=2, accuracy=0.25), row(seed=1, accuracy=1 / 3)])
    results.collect([first], tmp_path / "records.csv")
    frame = results.load(tmp_path / "records.csv")
    assert list(frame.columns) == COLUMNS
    assert frame["seed"].tolist() == [1, 2]
    assert frame["accuracy"].tolist() == [1 / 3, 0.25]
    assert frame["trained"].tolist() == [2696, 2696]
    assert frame["without_biases"].tolist() == [2560, 2560]


def test_order_of_files_does_not_matter(tmp_path):
    files = [metrics_file(tmp_path / f"{seed}.json", [row(seed=seed)]) for seed in (3, 1, 2)]
    results.collect(files, tmp_path / "a.csv")
    results.collect(files[::-1], tmp_path / "b.csv")
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()


def test_names_that_look_like_gaps_survive(tmp_path):
    names = ["NA", "null", "None", "1e5", 'say "x", y']
    files = [metrics_file(tmp_path / f"{n}.json", [row(target=name)]) for n, name in enumerate(names)]
    results.collect(files, tmp_path / "records.csv")
    assert set(results.load(tmp_path / "records.csv")["target"]) == set(names)


def test_the_same_record_twice_is_one_row(tmp_path):
    files = [metrics_file(tmp_path / f"{name}.json", [row()]) for name in "ab"]
    results.collect(files, tmp_path / "records.csv")
    assert len(results.load(tmp_path / "records.csv")) == 1


def test_two_results_for_one_run_are_an_error(tmp_path):
    files = [metrics_file(tmp_path / f"{n}.json", [row(correct=n)]) for n in (1, 2)]
    with pytest.raises(UserError, match=r"2\.json: other numbers than .*1\.json for cocoop, 16 shots, seed 3, shapes"):
        results.collect(files, tmp_path / "records.csv")
    assert not (tmp_path / "records.csv").exists()


def test_a_metrics_file_without_a_number_is_an_error(tmp_path):
    incomplete = row()
    del incomplete["macro_f1"]
    with pytest.raises(UserError, match=r"a\.json: no 'macro_f1' in it"):
        results.collect([metrics_file(tmp_path / "a.json", [incomplete])], tmp_path / "records.csv")


def test_measures_that_a_file_lacks_are_blank_and_counted(tmp_path):
    older, blank = row(seed=1), row(seed=2, measures=dict.fromkeys(measures.COLUMNS) | {"ece": 0.125})
    del older["measures"]
    files = [metrics_file(tmp_path / f"{n}.json", [one]) for n, one in enumerate([older, blank])]
    results.collect(files, tmp_path / "records.csv")
    frame = results.load(tmp_path / "records.csv")
    assert frame["ece"].isna().tolist() == [True, False] and frame["ece"][1] == 0.125
    assert frame["auroc"].isna().all() and frame["accuracy"].notna().all()
    said = [note for note in results.load_notes(tmp_path / "records.csv") if "older than the measures" in note]
    assert len(said) == 1 and said[0].startswith("1 of 2 result files") and "--forcerun evaluate" in said[0]


def test_no_metrics_give_an_empty_table(tmp_path):
    results.collect([], tmp_path / "records.csv")
    assert results.load(tmp_path / "records.csv").empty


def test_a_class_free_subset_has_no_accuracy_and_no_zero(tmp_path):
    nothing = row(correct=0, total=0, accuracy=None, mean_class_accuracy=None, macro_f1=None)
    results.collect([metrics_file(tmp_path / "a.json", [nothing])], tmp_path / "records.csv")
    assert results.load(tmp_path / "records.csv")["accuracy"].isna().all()


def seal(folder) -> None:
    """As the message of an edited file says."""
    line = "sha256sum records.csv > records.csv.sha256"
    subprocess.run(line, shell=True, check=True, cwd=folder)


def test_an_edit_is_noticed_and_can_be_kept(tmp_path):
    path, checksum = tmp_path / "records.csv", tmp_path / "records.csv.sha256"
    results.collect([metrics_file(tmp_path / "a.json", [row(target="digits")])], path)
    subprocess.run(["sha256sum", "--check", "--status", checksum.name], check=True, cwd=tmp_path)
    path.write_text(path.read_text().replace("digits", "digitz"))
    with pytest.raises(
        UserError, match=r"records\.csv: does not match records\.csv\.sha256: damaged, or edited\. .*sha256sum"
    ):
        results.load(path)
    seal(tmp_path)
    assert set(results.load(path)["target"]) == {"digitz"}
    checksum.unlink()
    with pytest.raises(UserError, match=r"records\.csv: records\.csv\.sha256 is missing"):
        results.load(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a,b\n1,2\n", r"columns backbone, dataset, .* are missing"),
        ("", "damaged records"),
        (",".join(COLUMNS) + "\n" + ",".join(["x"] * len(COLUMNS)) + "\n", "damaged records"),
    ],
)
def test_another_file_is_named(tmp_path, text, message):
    (tmp_path / "records.csv").write_text(text)
    seal(tmp_path)
    with pytest.raises(UserError, match=rf"records\.csv: {message}"):
        results.load(tmp_path / "records.csv")
    with pytest.raises(UserError, match=r"gone\.csv: no readable records file"):
        results.load(tmp_path / "gone.csv")


def test_the_key_is_complete():
    assert set(made.experiment()["expected"][0]) | {"backbone"} == set(KEY)


def test_a_list_of_files_that_is_not_there(tmp_path, capsys):
    assert main(["collect", "--metrics", str(tmp_path / "none.txt"), "--out", str(tmp_path / "records.csv")]) == 2
    assert "none.txt: expected a list of files, one per line" in capsys.readouterr().err


def test_how_hyper_parameters_were_selected_is_kept_and_may_be_missing(tmp_path):
    stated, silent = row(seed=1, selection="val"), row(seed=2)
    del silent["selection"]
    results.collect([metrics_file(tmp_path / "a.json", [stated, silent])], tmp_path / "records.csv")
    assert results.load(tmp_path / "records.csv")["selection"].tolist() == ["val", ""]
