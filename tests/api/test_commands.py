"""predict, explain, export and import-checkpoint on the command line."""

import csv
import io as text_io
import json

import pytest

import cocoop
from cocoop.cli import main
from tests.api.conftest import CHECKPOINTS

COOP = str(CHECKPOINTS / "coop_digits.model.pth.tar-200")
BASE = ["digit zero", "digit one", "digit two", "digit three", "digit four"]


def run(capsys, *words: object) -> tuple[int, str, str]:
    code = main([*map(str, words)])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_predict_writes_the_best_classes_as_csv_json_and_table(prompt, run_folder, digits, capsys, tmp_path):
    pictures, _, _ = digits.of("base", 3)
    expected = cocoop.load(run_folder, device="cpu").predict(pictures).top(2)
    words = ("predict", *pictures, "--prompt", run_folder, "--device", "cpu", "--top", 2)
    code, out, _ = run(capsys, *words, "--format", "csv")
    rows = list(csv.DictReader(text_io.StringIO(out)))
    assert code == 0 and len(rows) == 6 and rows[0]["picture"] == str(pictures[0])
    assert [row["label"] for row in rows] == [guess.label for best in expected for guess in best]
    code, _, _ = run(capsys, *words, "--format", "json", "--out", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    assert code == 0 and [one["classes"][0]["label"] for one in found] == [best[0].label for best in expected]
    assert found[0]["classes"][0]["probability"] == pytest.approx(expected[0][0].probability, abs=1e-6)
    code, out, _ = run(capsys, *words)
    assert code == 0 and out.splitlines()[0].split() == ["picture", "class", "1", "p", "1", "class", "2", "p", "2"]


def test_predict_zero_shot_names_unreadable_pictures_and_goes_on(digits, capsys, tmp_path):
    good = digits.of("base", 2)[0]
    for number, path in enumerate(good):
        (tmp_path / f"{number}.png").write_bytes(path.read_bytes())
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "names.txt").write_text("zero\none\n\n")
    words = (
        "predict",
        tmp_path,
        tmp_path / "missing.png",
        "--backbone",
        "tiny",
        "--classes-file",
        tmp_path / "names.txt",
    )
    code, out, err = run(capsys, *words, "--format", "csv", "--device", "cpu")
    assert code == 2
    assert [row["picture"] for row in csv.DictReader(text_io.StringIO(out))] == [
        str(tmp_path / f"{n}.png") for n in (0, 1)
    ]
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert lines[0].startswith(f"error: {tmp_path / 'broken.png'}: unreadable image")
    assert lines[1:] == [
        f"error: {tmp_path / 'missing.png'}: no such image.",
        "error: 2 pictures of 4 could not be read (named above); the others are classified.",
    ]


def test_import_then_export_back_gives_the_checkpoint(capsys, tmp_path, digits):
    words = ("import-checkpoint", COOP, "--backbone", "tiny", "--classes", *BASE, "--out", tmp_path / "ours")
    assert run(capsys, *words) == (0, f"wrote {tmp_path / 'ours'}\n", "")
    assert "checkpoint of the authors' code" in (tmp_path / "ours/README.md").read_text()
    code, out, _ = run(capsys, "export", tmp_path / "ours", "--out", tmp_path / "back", "--layout", "official")
    assert code == 0 and "--load-epoch 200 --eval-only --trainer CoOp" in out
    pictures, _, _ = digits.of("base", 10)
    first = cocoop.load(COOP, backbone="tiny", classnames=BASE, device="cpu").logits(pictures)
    for again in (
        cocoop.load(tmp_path / "ours", device="cpu"),
        cocoop.load(tmp_path / "back", backbone="tiny", device="cpu"),
    ):
        assert again.logits(pictures).equal(first)


def test_explain_prints_words_confusions_and_changes(run_folder, capsys):
    code, out, _ = run(capsys, "explain", run_folder, "--words", 1, "--device", "cpu")
    assert code == 0
    for text in ("nearest words", "most confused", "right, but wrong zero-shot", "Euclidean distances"):
        assert text in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["predict", "x.png"], "give --prompt for a learned prompt, or --backbone for zero-shot CLIP."),
        (
            ["predict", "x.png", "--backbone", "tiny", "--seed", "1"],
            "--seed: zero-shot CLIP has no seeds; leave it out.",
        ),
        (["predict", "x.png", "--backbone", "tinny"], "zero_shot: backbone: unknown backbone 'tinny'"),
        (["predict", "x.png", "--backbone", "tiny"], "classnames: give at least one class name"),
        (["predict", "x.png", "--prompt", "nowhere"], "nowhere: no such file or folder."),
        (["predict", "x.png", "--prompt", COOP], "the file does not name its backbone"),
        (
            ["predict", "x.png", "--backbone", "tiny", "--classes-file", "nowhere.txt"],
            "--classes-file: nowhere.txt: cannot",
        ),
        (
            ["import-checkpoint", "nowhere", "--backbone", "tiny", "--out", "x"],
            "nowhere: no checkpoint; expected a file",
        ),
        (["export", "nowhere", "--out", "x"], "nowhere: no such file or folder."),
        (["explain", "nowhere"], "nowhere: no such file or folder."),
    ],
)
def test_mistakes_give_one_line_and_exit_code_two(words, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "") and message in err
    assert len(err.strip().splitlines()) == 1 and not list(tmp_path.iterdir())
