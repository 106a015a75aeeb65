"""What `explain` says: nearest words by hand, and the pictures that changed sides."""

import numpy as np
import pytest
import torch

import cocoop
from cocoop import io
from cocoop.api.explaining import explain, text_of
from cocoop.api.results import records_in
from cocoop.errors import UserError
from tests.api.conftest import line_of, train


def test_untrained_words_are_their_own_nearest_words(run_folder):
    prompt, words = cocoop.load(run_folder, device="cpu"), ["a", "photo", "of", "a"]
    with torch.no_grad():
        prompt.method.ctx.copy_(prompt.towers.text.embedded_words("a photo of a", 4)[None])
    found = prompt.nearest_words(3)
    first = found[found["rank"] == 1]
    assert first["word"].tolist() == words and first["distance"].tolist() == [0, 0, 0, 0]
    assert found["vector"].tolist() == [n for n in (1, 2, 3, 4) for _ in range(3)]
    vector, table = prompt.towers.text.embedded_words("photo", 1), prompt.towers.text.table
    assert found["distance"][4] == pytest.approx(float((table - vector).norm(dim=1).unique()[1]), rel=1e-5)


def test_tokens_with_one_vector_are_one_word(prompt):
    found = prompt.nearest_words(1000)
    of_first = found[found["vector"] == 1]
    assert len(of_first) < 1000  # the tiny CLIP has the same vector for all words outside its training data
    assert of_first["word"].str.contains("others with the same vector").sum() == 1


def test_class_specific_contexts_are_named_by_class(digits, tmp_path):
    learned = train(digits, tmp_path, "coop", params={"csc": True}, shots=1, training={"epochs": 1})
    assert learned.nearest_words(1)["prompt"].unique().tolist() == [
        "digit zero",
        "digit one",
        "digit two",
        "digit three",
        "digit four",
    ]


def test_changed_pictures_by_hand(digits, run_folder):
    loaded = cocoop.load(run_folder, device="cpu")
    found = explain(loaded, run_folder)
    pictures, truth, names = digits.of("base")
    ours = loaded.predict(pictures).labels
    before = cocoop.zero_shot("tiny", "a photo of the {}.", device="cpu").predict(pictures, names).labels
    expected = {
        (str(path.relative_to(digits.data_root / "digits")), true, zero, learned)
        for path, true, zero, learned in zip(pictures, truth, before, ours, strict=True)
        if (zero == true) != (learned == true)
    }
    changed = found.changed[["picture", "true", "zero_shot", "learned"]]
    assert expected and set(changed.itertuples(index=False, name=None)) == expected
    assert len(found.gained) + len(found.lost) == len(expected)
    wrong = sum(a != b for a, b in zip(ours, truth, strict=True))
    assert found.confused["pictures"].sum() == wrong
    text = text_of(found, most=3)
    assert "nearest words" in text and "right, but wrong zero-shot" in text and "not the meaning" in text


def test_results_of_the_workflow_are_found(digits, run_folder, tmp_path):
    """The folders of a run, of zero-shot CLIP and of the manifest where the workflow puts them."""
    loaded = cocoop.load(run_folder, device="cpu")
    results = tmp_path / "results"
    run = results / "runs/tiny/digits/base/coop/shots4/seeds1/0123456789"
    zero = results / "runs/tiny/digits/all/clip/shots0/seeds0/abcdef0123"
    copied(run_folder / "learned.safetensors", run / "learned.safetensors")
    for source, target in ((run_folder, run), (run_folder / "zero_shot", zero)):
        for file in source.glob("tests/*/*/*/*"):
            copied(file, target / file.relative_to(source))
    found = explain(loaded, run)
    assert found.changed["picture"].str.startswith("test picture").all()  # no manifest yet
    data = next(records_in(run)).run["data"]
    copied(run_folder / "manifest.json", results / f"datasets/digits/{data}/manifest.json")
    expected = explain(loaded, run_folder).changed
    assert len(expected) and explain(loaded, run).changed.equals(expected)
    assert explain(loaded, run, against=zero).changed.equals(expected)
    (zero / "tests").rename(zero / "moved")
    assert any("no test of zero-shot CLIP found" in note for note in explain(loaded, run).notes)
    with pytest.raises(UserError, match="has no tests"):
        explain(loaded, run, against=zero)


def copied(source, target) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(source.read_bytes())


def test_other_test_pictures_are_refused(run_folder, tmp_path):
    loaded = cocoop.load(run_folder, device="cpu")
    for file in run_folder.glob("zero_shot/tests/*/*/*/*"):
        copied(file, tmp_path / file.relative_to(run_folder / "zero_shot"))
    [file] = tmp_path.glob("tests/*/*/*/predictions.safetensors")
    tensors, metadata = io.read_tensors(file, "predictions")
    io.write_tensors(file, tensors | {"base.index": tensors["base.index"] + 1}, metadata)
    with pytest.raises(UserError, match="other test pictures of digits/base"):
        explain(loaded, run_folder, against=tmp_path)


def test_a_method_without_contexts_says_so(trained):
    learned, folder = trained("taskres")
    with pytest.raises(UserError, match="learns no context vectors"):
        learned.nearest_words()
    found = explain(learned, folder)
    assert not len(found.words) and np.isfinite(found.confused["pictures"]).all()


def test_only_the_tests_of_the_prompts_own_run_count(digits, run_folder, trained, tmp_path):
    loaded, other = cocoop.load(run_folder, device="cpu"), trained("taskres")
    with pytest.raises(UserError) as error:
        explain(loaded, other.folder)
    assert line_of(error).startswith(f"{other.folder}: has tests of another run than this prompt's (coop, seed 1)")
    for folder in (run_folder, other.folder):
        for file in folder.glob("tests/*/*/*/*"):
            copied(file, tmp_path / file.relative_to(folder))
    alone = explain(loaded, run_folder)
    both = explain(loaded, tmp_path, against=run_folder / "zero_shot")
    assert len(list(records_in(tmp_path))) == 2 and both.confused.equals(alone.confused)
    assert both.changed[["true", "learned"]].equals(alone.changed[["true", "learned"]])


def test_a_source_is_found_as_by_load(run_folder, monkeypatch, tmp_path):
    loaded = cocoop.load(run_folder, device="cpu")
    for missing in (tmp_path / "nowhere", "~unknown/run"):
        with pytest.raises(UserError, match="no such file or folder"):
            explain(loaded, missing)
    monkeypatch.setenv("HOME", str(run_folder.parent))
    assert len(explain(loaded, f"~/{run_folder.name}", against=f"~/{run_folder.name}/zero_shot").changed)
