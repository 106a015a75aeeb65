"""A result says which code computed it and the files that it comes from, so that a note can count what other code computed."""

from pathlib import Path

import pytest

from cocoop import io, provenance, splits
from cocoop.reporting.records import records
from tests.evaluation.test_precision import SEEDS, SHOTS, evaluate, everything, run, save_golden, stage
from tests.images.pictures import dataset


@pytest.fixture
def made(tmp_path, monkeypatch):
    """All files of CLIP and CoOp, computed by other code."""
    manifest = dataset(tmp_path)
    manifest.save(tmp_path / "manifest.json")
    for seed in SEEDS:
        splits.save_few_shot(tmp_path / f"seed{seed}.json", manifest, SHOTS, seed)
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    with monkeypatch.context() as patch:
        patch.setattr(provenance, "numeric_code", lambda: "before")
        everything(tmp_path, save_golden(tmp_path))
    return tmp_path


def noted(folder) -> bool:
    records.collect([folder / f"fp32/{name}/metrics.json" for name in ("clip", "coop")], folder / "records.csv")
    return any(
        "2 of 2 result files were computed by code that differs" in note
        for note in records.load_notes(folder / "records.csv")
    )


def test_a_new_test_of_an_old_training_stays_a_result_of_other_code(made):
    for name in ("features", "views", "learned"):
        assert io.read_tensors(made / f"fp32/{name}.safetensors", name)[1]["code"] == "before"
    assert noted(made)
    for variant in ("clip", "coop"):
        stage("evaluate", *evaluate(run(variant, save_golden(made)), made / "fp32"))
        code = io.read_json(made / f"fp32/{variant}/metrics.json", "metrics")["code"]
        assert code == " ".join(sorted(["before", provenance.numeric_code()]))
    assert noted(made)


def test_results_of_the_present_code_have_no_note(made):
    everything(made, save_golden(made))
    assert not noted(made)


def test_what_decides_pixels_and_draws_counts():
    parts = [Path(provenance.REPOSITORY, "cocoop", part) for part in provenance.NUMERIC]
    assert all(part.exists() for part in parts)
    assert provenance.code("splits.py") != provenance.code("draws.py") != provenance.code("text")
