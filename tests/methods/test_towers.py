"""Every registered variant that changes the image tower: learning, other classes, files, seeds, interruptions."""

import math
from dataclasses import replace

import open_clip
import pytest
import torch

from cocoop import methods
from cocoop.backbone.vision import ImageEncoder
from cocoop.config import Registry
from cocoop.errors import UserError
from cocoop.evaluation.predict import comparable, predict
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, Method, Task
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.loop import Trainer
from tests.methods.both_towers import DEEP, backbone_of, text_of
from tests.reference import model_by_formula, model_config
from tests.runs import run_of

ALL = Registry().variants
VARIANTS = [name for name, spec in ALL.items() if spec.inputs == "images" and spec.method != "visual_prompt"]
NAMES, OTHERS, TEMPLATE = ("cat", "wild_dog", "german shorthaired pointer"), ("fish", "tree"), "a photo of a {}."
SENTENCES = {name: [f"{start} {name}." for start in ("Here is a", "We see one")] for name in NAMES}
IMAGES, VIEWS, BATCH, EPOCHS = 8, 3, 4, 3
every = pytest.mark.parametrize("name", VARIANTS)


@pytest.fixture(scope="module")
def model():
    return model_by_formula(DEEP, 3)


@pytest.fixture(scope="module")
def text(model):
    return text_of(model)


@pytest.fixture(scope="module")
def image(model):
    return backbone_of(model, DEEP)


@pytest.fixture(scope="module")
def data(image) -> TrainingImages:
    """Pixels of two seeds with the frozen features that a method may ask for."""
    draw = torch.Generator().manual_seed(4)
    pixels = torch.randn(2, VIEWS, IMAGES, 3, 32, 32, generator=draw)
    labels = torch.stack([torch.randint(len(NAMES), (IMAGES,), generator=draw) for _ in range(2)])
    with torch.no_grad():
        frozen = Cached(image.encode_images(pixels.flatten(0, 2)).unflatten(0, pixels.shape[:3]))
    return TrainingImages(Cached(pixels), labels, NAMES, {}, frozen, second=frozen.second())


@pytest.fixture
def build(text, image):
    def built(name: str, seeds: tuple[int, ...] = (1, 2), **params) -> Method:
        run = run_of(name, seeds=seeds)
        run = replace(run, params={**run.params, **params})
        return methods.build(run, Task(text, seeds, NAMES, SENTENCES, TEMPLATE, image))

    return built


def first(images: TrainingImages) -> Batch:
    frozen, second = images.frozen.features, images.second.features.roll(-1, 1)
    return Batch(images.source.features[:, 0], images.labels, frozen[:, 0], second[:, 0])


def trainer(name: str, method: Method, images: TrainingImages) -> Trainer:
    spec = replace(ALL[name].training, epochs=EPOCHS, batch_size=BATCH, steps=None)
    return Trainer(method, method.for_classes(NAMES), images, spec)


def total(method: Method, batch: Batch) -> float:
    method.noise.restart("here")
    with torch.no_grad():
        return float(sum(loss.sum() for loss in method.losses(method.for_classes(NAMES), batch)[1].values()))


@every
def test_logits_and_gradients(name, build, data):
    method, batch = build(name), first(data)
    logits, losses = method.losses(method.for_classes(NAMES), batch)
    assert logits.shape == (2, IMAGES, len(NAMES)) and torch.isfinite(logits).all()
    assert all(loss.shape == (2,) for loss in losses.values())
    method.backward(losses)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in method.learned_parameters().values())
    with torch.no_grad():
        assert method.eval().for_classes(OTHERS)(batch.inputs).shape == (2, IMAGES, len(OTHERS))


@every
def test_both_halves_are_classified_with_each_image_encoded_once(name, build, data, monkeypatch):
    encode, encoded = ImageEncoder.encode, []
    monkeypatch.setattr(ImageEncoder, "encode", lambda *given: encoded.append(1) or encode(*given))
    method, pixels = build(name).eval(), data.source.features[0, 0]
    base, new, one = (method.for_classes(names) for names in (NAMES, OTHERS, NAMES + OTHERS))
    if not comparable(base, new):
        assert ALL[name].method in ("mmrl", "dept_maple")
        return
    found = predict(base, [pixels], torch.zeros(IMAGES).long(), 2, "fp32", "x", new)
    assert len(encoded) == 1
    with torch.no_grad():
        logits = one(pixels.expand(2, *pixels.shape))
    torch.testing.assert_close(found.largest, logits[..., :3].amax(-1), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.other_largest, logits[..., 3:].amax(-1), rtol=0, atol=1e-3)
    torch.testing.assert_close(found.other_logsumexp, logits[..., 3:].logsumexp(-1), rtol=0, atol=1e-3)


@every
def test_learning_lowers_the_loss_and_survives_a_file(name, build, data):
    method, batch = build(name), first(data)
    before = total(method, batch)
    trainer(name, method, data).run()
    again = build(name)
    again.load_learned(method.learned(), "file")
    assert total(again.eval(), batch) == total(method, batch) < before


@every
def test_together_equals_alone(name, build, data):
    together = build(name)
    start = together.learned()
    start = {key: tensor.clone() for key, tensor in start.items()}
    trainer(name, together, data).run()
    for index, seed in enumerate(together.seeds):
        alone = build(name, (seed,))
        trainer(name, alone, data.of_seed(index)).run()
        for key, tensor in alone.learned().items():
            moved = (tensor - start[key]).norm()
            assert moved > 0, key
            assert (together.learned()[key] - tensor).norm() <= 2e-3 * moved, key


@every
def test_interrupted_training_ends_with_the_same_bytes(name, build, data, tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    whole, stopped, path = build(name), build(name), tmp_path / "checkpoint.safetensors"
    expected = trainer(name, whole, data).run()
    keeper = Keeper(stopped, path, "views", EPOCHS)

    def stop(done):
        keeper(done)
        if done.epochs == EPOCHS - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trainer(name, stopped, data).run(after_epoch=stop)
    found = build(name)
    done = trainer(name, found, data).run(resume(found, path, "views"))
    assert done.history == expected.history
    assert all(torch.equal(tensor, found.learned()[key]) for key, tensor in whole.learned().items())


@pytest.mark.parametrize(
    ("name", "params", "tower"),
    [("maple", {"depth": 13}, "image"), ("ivlp", {"depth": 13}, "text"), ("vpt", {"vision_depth": 13}, "image")],
)
def test_more_prompts_than_layers_are_refused(name, params, tower, build):
    with pytest.raises(UserError, match=f"new prompts at 13 layers, but the backbone's {tower} tower has 12; take a"):
        build(name, **params)


PARAMETERS = {  # of the authors' settings at ViT-B/16
    "maple": 3_555_072, "maple_transfer": 1_185_024, "ivlp": 30_720, "ivlp_long": 46_080, "deep_language": 24_576, "vpt": 73_728,
    "promptsrc": 46_080, "promptsrc_transfer": 15_360, "coprompt": 5_014_528,
}  # fmt: skip


@pytest.fixture(scope="module")
def wide():
    """ViT-B/16's widths and numbers of layers, with thin MLPs: what is learned does not depend on them."""
    widths = {"embed_dim": 512, "vision_width": 768, "text_width": 512, "vision_heads": 12, "text_heads": 8}
    config = model_config({**DEEP, **widths})
    for tower in ("vision_cfg", "text_cfg"):
        config[tower]["mlp_ratio"] = 0.05
    return open_clip.CLIP(**config).eval().requires_grad_(False)


def test_numbers_of_parameters_are_the_published_ones(wide):
    text, image = text_of(wide), backbone_of(wide, {**DEEP, "embed_dim": 512})
    for name, expected in PARAMETERS.items():
        run = run_of(name, seeds=(1,), params=dict(ALL[name].on("imagenet", 16).params))
        method = methods.build(run, Task(text, (1,), NAMES, SENTENCES, TEMPLATE, image))
        assert sum(map(math.prod, method.shapes().values())) == expected, name
