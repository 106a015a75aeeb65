"""States of frozen image layers in place of images: the same training, and only where they save something and fit."""

from dataclasses import replace

import pytest
import torch

from cocoop import io, splits
from cocoop.config import Registry
from cocoop.images import states
from cocoop.images.inputs import TrainingFiles
from cocoop.images.live import Live
from cocoop.images.views import select
from cocoop.text import text_encoder as text
from cocoop.training.run import train
from tests.images.pictures import dataset, load_golden
from tests.runs import run_of

SEEDS, LAYER = (1, 2), 1
SMALL = {"start": 2, "end": 3, "dim": 4, "scale": 0.1}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures, their draws, a backbone's text tower and the frozen features."""
    folder = tmp_path_factory.mktemp("states")
    made, backbone = dataset(folder), load_golden(folder)
    made.save(folder / "manifest.json")
    for seed in SEEDS:
        splits.save_few_shot(folder / f"seed{seed}.json", made, 3, seed)
    text.save(folder / "tower.safetensors", backbone.model, "golden", backbone.fingerprint)
    return folder


@pytest.fixture(scope="module")
def backbone(folder):
    return load_golden(folder)


def live(folder, backbone, views=1):
    from cocoop.manifest import Manifest

    manifest = Manifest.load(folder / "manifest.json")
    drawn = {seed: splits.load_few_shot(folder / f"seed{seed}.json") for seed in SEEDS}
    return Live(backbone, folder, {seed: select(manifest, of, "all") for seed, of in drawn.items()}, views, 0)


def test_states_give_the_features_of_the_images(folder, backbone):
    encoder, source = states.ImageEncoder.of(backbone), live(folder, backbone, 2)
    found = states.cached(source, encoder, LAYER, 5, 100)
    visit = torch.stack([torch.randperm(source.images, generator=torch.Generator().manual_seed(s)) for s in SEEDS])
    for epoch in (0, 1, 3):
        pairs = zip(source.batches(epoch, visit, 4, 2), found.batches(epoch, visit, 4, 2), strict=True)
        for pixels, kept in pairs:
            torch.testing.assert_close(encoder.encode(kept).features, encoder.encode(pixels).features)
    (alone,), (both,) = (list(of.batches(0, visit[1:], 4, 1)) for of in (found.of_seed(1), found.of_seed(1)))
    assert torch.equal(alone.x, both.x) and alone.x.shape[:2] == (1, 4)


@pytest.mark.parametrize(("layer", "epochs", "views", "budget"), [(0, 5, 1, 100), (LAYER, 2, 2, 100), (LAYER, 5, 1, 0)])
def test_images_where_states_save_nothing_or_do_not_fit(layer, epochs, views, budget, folder, backbone):
    source = live(folder, backbone, views)
    assert states.cached(source, states.ImageEncoder.of(backbone), layer, epochs, budget) is source


def test_a_training_on_states_is_that_on_images(folder, backbone):
    spec = Registry().variants["mma"]
    training = replace(spec.training, epochs=3, batch_size=4, lr=0.01)
    run = run_of(
        spec, backbone=backbone.spec, dataset="pictures", params={**spec.params, **SMALL}, training=training,
        shots=3, seeds=SEEDS,
    )  # fmt: skip
    drawn = tuple(folder / f"seed{seed}.json" for seed in SEEDS)
    files = TrainingFiles(folder / "tower.safetensors", manifest=folder / "manifest.json", fewshot=drawn, root=folder)
    learned = {}
    for name, budget in (("images", 0), ("states", 100)):
        train(run, files, folder / name, "cpu", 2048, budget)
        learned[name], _ = io.read_tensors(folder / name / "learned.safetensors", "learned")
    for name, tensor in learned["images"].items():
        torch.testing.assert_close(learned["states"][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, spec in Registry().variants.items() if spec.inputs == "images"])
def test_the_file_of_a_method_says_which_layer_is_the_first(name):
    content = Registry().read("methods", Registry().variants[name].method, "test")
    first = Registry().variants[name].params.get(content.get("image_layer_from"), 1)
    assert (first if isinstance(first, int) else min(first)) == 1 + layer_of(name)


def layer_of(name: str) -> int:
    from cocoop.bench import towers
    from cocoop.bench.cases import Case

    return towers.work(Case(name, "train", 3, 1, towers=True), "fast", deep()).method.image_layer


def deep():
    from cocoop.bench import towers

    shape = {"image_size": 64, "layers": 12, "width": 16, "head_width": 8, "patch_size": 32}
    words = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 12}
    return towers.whole("cpu", {"embed_dim": 8, "vision_cfg": shape, "text_cfg": words}, "fp32")
