"""Seeds with different numbers of images in one job: they train one after another, and give what each gives alone."""

import json
from pathlib import Path

import pytest
import torch
import yaml

from cocoop import io
from cocoop.planning import stages
from tests.protocol.benchmark import configured, draw_of, learned, made, recorded, run

HELD_OUT = {
    "gda_h": {"based_on": "gda", "selection": "hold_one_out"},
    "tip_ht": {
        "based_on": "tip_adapter_f", "selection": "hold_one_out", "temperature": "val", "params": {"search_step": [5, 4]},
        "training": {"epochs": 2},
    },
}  # fmt: skip
ALL = {"train_subset": "all", "target_subsets": ["all"], "reference": None}


def separately(config: Path) -> Path:
    """The same configuration with a job for each seed."""
    content = yaml.safe_load(config.read_text()) | {"seeds_per_job": 1}
    config.write_text(yaml.safe_dump(content))
    return config


def of_all(jobs, variant) -> dict[str, torch.Tensor]:
    return {name: tensor for tensors in learned(jobs, variant) for name, tensor in tensors.items()}


def same(jobs, others, variant) -> None:
    found, expected = of_all(jobs, variant), of_all(others, variant)
    assert found.keys() == expected.keys() and found
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def measured() -> list:
    return (
        recorded().sort_values(["variant", "seed"])[["variant", "seed", "accuracy", "nll", "trained"]].values.tolist()
    )


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_label_noise_leaves_seeds_different_images_to_hold_out(folder):
    config = configured(folder, HELD_OUT, variants=list(HELD_OUT), label_noise={"rates": [0.5]}, **ALL)
    jobs = made(config)
    together = measured()
    keys = [tensor.shape for name, tensor in of_all(jobs, "tip_ht").items() if name.endswith(".keys")]
    assert len(set(keys)) == 2  # the two seeds hold out different numbers of images
    alone = made(separately(config))
    for variant in HELD_OUT:
        same(jobs, alone, variant)
    assert measured() == together


@pytest.mark.slow
def test_wrong_labels_in_imported_draws_leave_a_half_different_numbers_of_images(folder):
    """Planning puts these seeds into one job, because it sees the right labels."""
    variants = HELD_OUT | {
        "coop_ts": {"based_on": "coop", "temperature": "val"},
        "visual_prompt": {"params": {"border": 4}, "training": {"epochs": 1}},
    }
    half = {"train_subset": "base", "target_subsets": ["base"], "reference": None}
    config = configured(folder, variants, variants=["coop"], **half)
    made(config)
    run("draws", "export", "--configfile", config, "--out", "theirs")
    (path,) = Path("theirs").rglob("shots2_seed2.jsonl")
    mislabel(path)
    folder_of_draws = str(path.parent.parent)
    names = ["gda_h", "coop_ts", "visual_prompt"]
    config = configured(folder, variants, variants=names, draws=folder_of_draws, **half)
    jobs = made(config)
    assert {job.about.seeds for job in jobs if job.stage is stages.TRAIN} == {(1, 2)}
    alone = made(separately(config))
    for variant in (*names, "coop"):
        same(jobs, alone, variant)


def mislabel(path: Path) -> None:
    """Gives the first image of a draw of digits the label nine, which is none of the base classes."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0] |= {"true_label": lines[0]["label"], "label": 9, "classname": "digit nine"}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    about = json.loads(path.with_suffix(".json").read_text())
    path.with_suffix(".json").write_text(json.dumps({key: value for key, value in about.items() if key != "sha256"}))


def test_a_variant_that_holds_out_has_a_temperature_of_the_validation_draw(folder):
    probe = {"probe_ht": {"based_on": "linear_probe", "selection": "hold_one_out", "temperature": "val"}}
    jobs = made(configured(folder, probe, variants=["probe_ht"], **ALL))
    (scaled,) = (job for job in jobs if job.stage is stages.TRAIN and job.about.temperature == "val")
    (path,) = scaled.inputs["validation"]
    assert Path(path).name == "validation.safetensors"
    assert {"seed1.temperature", "seed2.temperature"} <= io.read_tensors(scaled.outputs["learned"], "learned")[0].keys()


def test_copies_in_a_draw_like_that_of_clip_lora_are_held_out_together(folder):
    many = {"drawn_like": "clip_lora", "class_shots": {"digits": {"digit three": 150}}}  # more than it has
    jobs = made(configured(folder, HELD_OUT, variants=["gda_h"], **many, **ALL))
    (path,) = (job.outputs["views"] for job in jobs if job.stage is stages.VIEWS)
    facts = io.read_tensors(path, "views")[1]
    for seed in (1, 2):
        drawn = draw_of(jobs, seed)["train"]
        assert len(set(drawn)) < len(drawn)
        assert facts[f"seed{seed}.originals"] == [drawn.index(image) for image in drawn]
