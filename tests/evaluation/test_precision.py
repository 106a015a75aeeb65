"""precision: auto computes in fp32 on a CPU and in fp16 on a GPU, every result says which, and the two are never combined."""

import json
from dataclasses import replace

import pandas as pd
import pytest

from cocoop import io, splits
from cocoop.cli import main
from cocoop.config import BackboneSpec
from cocoop.reporting.records import records
from tests.images.pictures import dataset, save_golden
from tests.runs import evaluation_of, run_of

SHOTS, SEEDS = 2, (1, 2)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The files of CLIP and CoOp with the golden CLIP, by precision."""
    folder = tmp_path_factory.mktemp("precision")
    manifest = dataset(folder)
    manifest.save(folder / "manifest.json")
    for seed in SEEDS:
        splits.save_few_shot(folder / f"seed{seed}.json", manifest, SHOTS, seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COCOOP_DEVICE", "cpu")
        for precision in ("auto", "fp32"):
            everything(folder, replace(save_golden(folder), precision=precision))
    return folder


def everything(folder, spec) -> None:
    out, backbone = folder / spec.precision, json.dumps(spec.settings)
    images = ("--manifest", folder / "manifest.json", "--root", folder)
    draws = ("--fewshot", *(folder / f"seed{seed}.json" for seed in SEEDS))
    stage("text-tower", "--backbone", backbone, "--out", out / "tower.safetensors")
    stage("features", "--backbone", backbone, *images, "--out", out / "features.safetensors")
    stage("views", "--backbone", backbone, *images, *draws, "--subset", "base", "--out", out / "views.safetensors")
    stage("train", *train(folder, run("coop", spec), out))
    for variant in ("clip", "coop"):
        stage("evaluate", *evaluate(run(variant, spec), out))


def stage(*words: object) -> None:
    assert main([*map(str, words)]) == 0


def run(variant: str, spec: BackboneSpec):
    trained = {"subset": "base", "shots": SHOTS, "seeds": SEEDS} if variant == "coop" else {}
    found = run_of(variant, backbone=spec, dataset="pictures", **trained)
    return replace(found, training=replace(found.training, epochs=1)) if found.training else found


def train(folder, of, out) -> list[object]:
    return [
        "--run",
        of.to_json(),
        "--text-tower",
        out / "tower.safetensors",
        "--views",
        out / "views.safetensors",
        "--out",
        out,
    ]


def evaluate(of, out) -> list[object]:
    learned = ["--learned", out / "learned.safetensors"] if of.trainable else []
    subsets = ("base",)
    return [
        "--evaluation", evaluation_of(of, *subsets).to_json(), "--text-tower", out / "tower.safetensors", *learned,
        "--features", out / "features.safetensors", "--out", out / of.variant,
    ]  # fmt: skip


@pytest.mark.parametrize(("device", "precision"), [("cpu", "fp32"), ("cuda", "fp16"), ("cuda:1", "fp16")])
def test_auto_is_half_precision_on_a_gpu_only(device, precision):
    spec = BackboneSpec("mine", "ViT-B-32", None, "auto")
    assert spec.on(device).precision == precision
    assert replace(spec, precision="bf16").on(device).precision == "bf16"


def test_the_identity_has_auto_and_the_files_what_was_used(made):
    for variant in ("clip", "coop"):
        metrics = io.read_json(made / f"auto/{variant}/metrics.json", "metrics")
        assert metrics["run"]["backbone"]["precision"] == "auto" and metrics["precision"] == "fp32"
        assert io.read_json(made / f"auto/{variant}/cost.json", "cost")["precision"] == "fp32"
    _, learned = io.read_tensors(made / "auto/learned.safetensors", "learned")
    assert learned["run"]["backbone"]["precision"] == "auto" and learned["precision"] == "fp32"
    _, features = io.read_tensors(made / "auto/features.safetensors", "features")
    assert features["precision"] == "fp32"


def test_numbers_are_those_of_the_precision_that_was_used(made):
    for name in ("clip/predictions", "coop/predictions", "learned"):
        tensors = [
            io.read_tensors(made / f"{kind}/{name}.safetensors", name.split("/")[-1])[0] for kind in ("auto", "fp32")
        ]
        assert tensors[0].keys() == tensors[1].keys()
        assert all(tensors[0][key].equal(tensors[1][key]) for key in tensors[0])


@pytest.mark.parametrize("file", ["features", "learned", "views"])
def test_files_from_a_gpu_are_refused_on_a_cpu(file, made, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    spec = replace(save_golden(tmp_path), precision="auto")
    names = ("tower", "features", "learned", "views")
    for name in names:
        tensors, facts = io.read_tensors(made / f"auto/{name}.safetensors", {"tower": "text-tower"}.get(name, name))
        if name == "learned":
            facts["run"]["backbone"] = spec.settings
        io.write_tensors(
            tmp_path / f"{name}.safetensors", tensors, facts | ({"precision": "fp16"} if name == file else {})
        )
    of = run("coop", spec)
    words = ["train", *train(made, of, tmp_path)] if file == "views" else ["evaluate", *evaluate(of, tmp_path)]
    assert main([*map(str, words)]) == 2
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"{file}.safetensors: " in said and "fp16" in said and "fp32" in said and "auto" in said


def test_records_state_the_precision_and_a_note_says_if_it_differs(made, tmp_path):
    first = made / "auto/clip/metrics.json"
    content = io.read_json(made / "auto/coop/metrics.json", "metrics")
    other = tmp_path / "metrics.json"
    io.write_json(other, content | {"precision": "fp16"})
    for paths, expected in (([first], {"fp32"}), ([first, other], {"fp16", "fp32"})):
        records.collect(paths, tmp_path / "records.csv")
        assert set(pd.read_csv(tmp_path / "records.csv")["precision"]) == expected
        said = [note for note in records.load_notes(tmp_path / "records.csv") if note.startswith("precision auto")]
        assert len(said) == (len(expected) > 1)
    assert "1 in fp16 and 1 in fp32" in said[0]
