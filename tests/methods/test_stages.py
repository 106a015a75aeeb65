"""From pictures to metrics, through the stages of the command line, for base and new classes."""

from dataclasses import replace

import pytest
import torch

from cocoop import io, methods, splits
from cocoop.backbone import model as backbone
from cocoop.backbone.local import local_encoder
from cocoop.cli import main
from cocoop.config import Registry
from cocoop.config.measures import OF_BOTH
from cocoop.data.images import open_rgb
from cocoop.methods.base import Task
from cocoop.text import text_encoder
from tests.images.pictures import dataset, save_golden
from tests.runs import evaluation_of, run_of

SEEDS, SHOTS, TEMPLATES = (1, 2), 3, ("a photo of a {}.",)
NEAR = 1e-4  # difference of logits that rounding may make
CASES = {  # variant, backbone (a vision transformer, or the bundled ResNet), changed parameters
    "tcp": ("tcp", "golden", {"inject_before_block": 1}),
    "tcp that never enters": ("tcp", "golden", {}),
    "plot": ("plot", "golden", {}),
    "plot resnet": ("plot", "tiny", {"global_logits": ["pictures"]}),
    "vpt": ("vpt", "golden", {"vision_depth": 3}),
    "ivlp": ("ivlp", "golden", {"depth": 2, "vision_depth": 3}),
    "maple": ("maple", "golden", {"depth": 3}),
    "promptsrc": ("promptsrc", "golden", {"depth": 3, "vision_depth": 2}),
    "coprompt": ("coprompt_ensemble", "golden", {"depth": 2}),
    "mma": ("mma", "golden", {"start": 2, "end": 3}),
    "mmrl": ("mmrl", "golden", {"layers": [2, 3]}),
    "clip_lora": ("clip_lora", "golden", {}),
    "dept_maple": ("dept_maple", "golden", {"depth": 3}),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stages")
    manifest = dataset(folder)
    manifest.save(folder / "manifest.json")
    for seed in SEEDS:
        splits.save_few_shot(folder / f"seed{seed}.json", manifest, SHOTS, seed)
    return folder


def stage(*words: object) -> None:
    assert main([*map(str, words)]) == 0


@pytest.mark.parametrize("name", CASES)
def test_from_pictures_to_metrics(name, folder, monkeypatch):
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    variant, kind, params = CASES[name]
    spec = save_golden(folder) if kind == "golden" else Registry().backbone("tiny", "test")
    registered = Registry().variants[variant]
    training = replace(registered.training, epochs=2, batch_size=4, steps=None)
    run = run_of(
        variant, backbone=spec, dataset="pictures", subset="base", templates=TEMPLATES * bool(registered.prompts_from),
        template=TEMPLATES[0] if "template" in registered.needs else None,
        params={**registered.params, **params}, training=training, views=3, shots=SHOTS, seeds=SEEDS,
    )  # fmt: skip
    evaluation = evaluation_of(run, "base", "new", together=True)
    out = folder / name
    local = ["--local"] * run.local
    images = ["--backbone", io.canonical_json(spec.settings), "--manifest", folder / "manifest.json", "--root", folder]
    drawn = [folder / f"seed{seed}.json" for seed in SEEDS]
    stage("text-tower", *images[:2], "--out", out / "tower.st")
    stage("features", *images, *local, "--out", out / "test.st")
    stage(
        "views", *images, *local, "--subset", "base", "--epochs", 0, 3, "--fewshot", *drawn, "--out", out / "views.st"
    )
    tower = ["--text-tower", out / "tower.st"]
    training_files = ["--views", out / "views.st"] * run.cached_views
    training_files += [*images[2:], "--fewshot", *drawn, "--workers", 1] * (run.inputs == "images")
    stage("train", "--run", run.to_json(), *tower, *training_files, "--out", out / "run")
    test_files = images[2:] if run.inputs == "images" else ["--features", out / "test.st"]
    asked = ["--evaluation", evaluation.to_json(), *tower, *test_files]
    stage("evaluate", *asked, "--learned", out / "run/learned.safetensors", "--out", out / "test")

    metrics = io.read_json(out / "test/metrics.json", "metrics")
    tensors, metadata = io.read_tensors(out / "run/learned.safetensors", "learned")
    text = text_encoder.load(out / "tower.st", spec.settings)
    whole = backbone.load(spec)
    classnames = tuple(metadata["classnames"])
    task = Task(text, SEEDS, classnames, run.templates, run.template or "", whole, dataset="pictures")
    start, method = (methods.build(run, task) for _ in range(2))
    method.load_learned(tensors, "learned")
    numbers = sum(parameter.numel() for parameter in method.learned_parameters().values())
    assert metrics["parameters"]["trained"] == numbers / len(SEEDS)
    moved = {tensor for tensor, first in start.learned().items() if not torch.equal(first, tensors[tensor])}
    assert moved == {tensor for tensor in tensors if "ctx" in tensor or "never" not in name}
    encode = {"features": local_encoder(whole) if run.local else whole.encode_images, "images": lambda pixels: pixels}
    expected = expected_labels(method.eval(), whole, encode[run.inputs], folder)
    predicted, _ = io.read_tensors(out / "test/predictions.safetensors", "predictions")
    for seed in SEEDS:
        for subset in ("base", "new"):
            found = predicted[f"seed{seed}.{subset}.predicted"].tolist()
            assert all(label in nearly for label, nearly in zip(found, expected[seed, subset], strict=True))
    told_apart = [len(nearly) == 1 for several in expected.values() for nearly in several]
    assert any(told_apart) == (kind == "golden")  # to the bundled model, these class names are the same
    there = {key for key in predicted if ".other." in key}
    noted = [note for note in metrics["notes"] if "the logits of the two cannot be compared" in note]
    assert (len(there), len(noted)) == ((0, 1) if variant in ("mmrl", "dept_maple") else (12, 0))
    for record in metrics["records"]:
        blank = {measure for measure, value in record["measures"].items() if value is None}
        assert blank == (set() if there else set(OF_BOTH))
        assert record["measures"]["openworld_auc"] is None or record["measures"]["openworld_auc"] <= record["accuracy"]


def expected_labels(method, whole, encode, folder) -> dict[tuple[int, str], list[set[int]]]:
    """The labels of all test pictures of a subset, by seed, with inputs computed here; several if rounding decides between them."""
    manifest, found = dataset(folder), {}
    for subset, labels in (("base", [0, 1]), ("new", [2, 3])):
        items = [item for item in manifest.splits["test"] if item.label in labels]
        crops = [torch.from_numpy(whole.preprocessing.test(open_rgb(folder / item.path))) for item in items]
        features = encode(whole.preprocessing.normalise(torch.stack(crops)))
        with torch.no_grad():
            logits = method.for_classes([manifest.classnames[label] for label in labels])(
                features.expand(2, *features.shape)
            )
        near = logits >= logits.amax(-1, keepdim=True) - NEAR
        for i, seed in enumerate(method.seeds):
            found[seed, subset] = [
                {label for label, is_near in zip(labels, row, strict=True) if is_near} for row in near[i].tolist()
            ]
    return found
