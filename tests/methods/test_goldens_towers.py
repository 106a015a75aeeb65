"""Every method that changes both towers against its authors' own numbers, through both text paths.

The cases are those of tests/goldens_successors, and of the folder that the environment variable COCOOP_GOLDENS names.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop import methods
from cocoop.backbone.model import Backbone
from cocoop.config import TrainingSpec
from cocoop.images.cached import Cached
from cocoop.images.inputs import TrainingImages
from cocoop.methods.base import Batch, Classifier, Method, Task
from cocoop.run import Run
from cocoop.text.text_encoder import TextEncoder
from cocoop.training.loop import Trainer
from tests.methods.both_towers import backbone_of, text_of
from tests.methods.goldens import CASES, Case
from tests.methods.told import FEATURES, LOGITS, LOSS, NORM, Told
from tests.methods.told_layers import TOLD_LAYERS
from tests.methods.told_prompts import TOLD_PROMPTS
from tests.reference import golden_images, model_by_formula
from tests.runs import run_of

TOLD = TOLD_PROMPTS | TOLD_LAYERS
HERE = [case for case in CASES if case.method in TOLD]
every = pytest.mark.parametrize("case", HERE, ids=str)
paths = pytest.mark.parametrize("path", ["fast", "literal"])


@cache
def _model(clip: str) -> nn.Module:
    about = json.loads(clip)
    return model_by_formula(about["architecture"], about["weight_seed"])


@dataclass(frozen=True)
class World:
    """A golden case with its CLIP, the method, and the pictures."""

    case: Case
    path: str

    @property
    def model(self) -> nn.Module:
        return _model(json.dumps(self.case.clip, sort_keys=True))

    @property
    def text(self) -> TextEncoder:
        """Both text paths must agree with the authors' code."""
        if self.path == "literal":
            return TextEncoder.literal(self.model)
        return text_of(self.model)

    @property
    def image(self) -> Backbone:
        return backbone_of(self.model, self.case.clip["architecture"])

    @property
    def told(self) -> Told:
        found = TOLD[self.case.method]
        return found if isinstance(found, Told) else found(self.case.settings)

    def run(self) -> Run:
        settings = self.case.settings
        templates = tuple(settings.get("templates", ())) or (settings.get("template", "a photo of a {}."),)
        told = self.told
        return run_of(told.variant(settings), params=told.params(settings), seeds=(1,), templates=templates)

    def method(self) -> Method:
        """With the given parameters."""
        run, names = self.run(), self.case.classnames
        sentences = self.case.settings.get("sentences", ())
        described = {name: [text.format(name.replace("_", " ")) for text in sentences] for name in names} or None
        task = Task(self.text, (1,), names, described or run.templates, run.templates[0], self.image)
        return methods.build(run, task)

    def at_given(self) -> Method:
        method = self.method()
        ours = {f"seed1.{self.told.tensor(name)}": self.case.given(name) for name in self.case.settings["learned"]}
        method.load_learned(method.learned() | ours, str(self.case))
        return method

    def pixels(self, prefix: str = "image") -> Tensor:
        """(N, 3, H, W)."""
        preprocessing = self.image.preprocessing
        pictures = [torch.from_numpy(preprocessing.test(picture)) for picture in golden_images(prefix)]
        return preprocessing.normalise(torch.stack(pictures))

    @torch.no_grad()
    def frozen(self, pixels: Tensor) -> Tensor:
        """(N, E)."""
        return self.model.encode_image(pixels)

    def inputs(self, pixels: Tensor) -> Tensor:
        """What the method takes of pictures: (N, 3, H, W) or (N, E)."""
        return pixels if self.run().inputs == "images" else self.frozen(pixels)

    def teachers(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Frozen features (N, E) of the same views, and of the second ones, which are mirrored."""
        return self.frozen(pixels), self.frozen(pixels.flip(-1))

    def batch(self) -> Batch:
        """The six pictures."""
        pixels, labels = self.pixels(), torch.tensor(self.case.settings["labels"])
        return Batch(self.inputs(pixels)[None], labels[None], *(x[None] for x in self.teachers(pixels)))

    def train_images(self) -> TrainingImages:
        pixels, labels = self.pixels("train_image")[self.case.kept], self.case.train_labels
        source, frozen, second = (Cached(x[None, None]) for x in (self.inputs(pixels), *self.teachers(pixels)))
        return TrainingImages(source, labels[None], self.case.classnames, {}, frozen, second=second)

    @torch.no_grad()
    def logits(self, method: Method, classnames: tuple[str, ...]) -> Tensor:
        return method.eval().for_classes(classnames)(self.batch().inputs)[0]


def near(found: Tensor, expected: Tensor, least: float) -> None:
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=least)


def check_terms(world: World, losses: dict[str, Tensor], expected: Mapping[str, float], images: int) -> None:
    """The total and each term of one step."""
    found = {name: float(loss.detach()) for name, loss in losses.items()}
    assert sum(found.values()) == pytest.approx(expected["loss"], abs=LOSS)
    for name, (own, factor, *added) in world.told.terms(world.case.settings, images).items():
        wanted = factor * expected[name] + sum(added)
        assert found[own] == pytest.approx(wanted, abs=LOSS * max(1, abs(factor))), name


@every
def test_learned_tensors_are_those_of_the_authors(case):
    world = World(case, "fast")
    expected = {world.told.tensor(name): about["shape"] for name, about in case.settings["learned"].items()}
    shapes = world.method().shapes()
    assert shapes == expected
    assert sum(map(math.prod, shapes.values())) == case.settings["parameters"]


@every
def test_start_is_that_of_the_authors(case):
    """Words exactly, random numbers by their mean and deviation; tensors that are copies of one another there are here."""
    world = World(case, "fast")
    method, alike = world.method(), {}
    for name, about in case.settings["learned"].items():
        own = method.get_parameter(world.told.tensor(name)).detach()[0]
        if case.has(f"init_{name}"):
            near(own, case.array(f"init_{name}"), 1e-5)
            continue
        error = 5 * math.sqrt(2 / own.numel()) * about["init_std"] + 1e-6
        assert float(own.std(correction=0)) == pytest.approx(about["init_std"], abs=error), name
        if "init_mean" in about:
            assert float(own.mean()) == pytest.approx(about["init_mean"], abs=error), name
            alike.setdefault((own.shape, about["init_mean"], about["init_std"]), []).append(own)
    for first, *others in alike.values():
        assert all(torch.equal(first, other) for other in others)


@every
@paths
def test_logits_losses_and_gradients_at_given_parameters(case, path):
    world = World(case, path)
    told, method, batch = world.told, world.at_given(), world.batch()
    classify = method.for_classes(case.classnames)
    told.prepare(method.train(), case, "at_given")
    near(classify(batch.inputs)[0], case.array(told.tested), LOGITS)
    told.prepare(method, case, "at_given")
    for name, found in told.arrays(method, classify, batch).items():
        if name.startswith("logits"):
            near(found[0], case.array(name), LOGITS)
        elif case.has(name):
            near(F.normalize(found[0], dim=-1), F.normalize(case.array(name), dim=-1), FEATURES)
    told.prepare(method, case, "at_given")
    _, losses = method.losses(classify, batch)
    check_terms(world, losses, case.settings["at_given"], batch.labels.shape[1])
    method.backward(losses)
    for name in case.settings["learned"]:
        gradient, expected = method.get_parameter(told.tensor(name)).grad[0], case.array(f"grad_{name}")
        assert (gradient - expected).norm() <= NORM * expected.norm(), name


@every
@paths
@pytest.mark.slow
def test_whole_training_and_new_classes(case, path):
    world, settings = World(case, path), case.settings
    told, method = world.told, world.at_given()
    training = TrainingSpec(**({"warmup_epochs": 0, "warmup_lr": 1e-5} | told.training(settings)))
    classify: Classifier = method.for_classes(case.classnames)
    trainer = Trainer(method, classify, world.train_images(), training, order=lambda seed, epoch, n: torch.arange(n))
    steps, step, last = [], trainer.step, {}

    def noted(batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        done = step(batch)
        last.update({name: tensor.clone() for name, tensor in method.learned().items()})
        steps.append(([group["lr"] for group in trainer.optimizer.param_groups], done[0], batch.labels.shape[1]))
        return done

    trainer.step = noted
    told.prepare(method, case, "training")
    trainer.run()
    assert len(steps) == len(settings["losses"])
    for number, (rates, losses, images) in enumerate(steps):
        expected = settings["lrs"][number]
        assert sorted(set(rates)) == pytest.approx(sorted({*expected} if isinstance(expected, list) else {expected}))
        terms = {name: values[number] for name, values in settings.get("terms", {}).items()}
        check_terms(world, losses, terms | {"loss": settings["losses"][number]}, images)
    for name in settings["learned"]:
        final, golden, given = method.get_parameter(told.tensor(name))[0], case.array(f"final_{name}"), case.given(name)
        assert (final.detach() - golden).norm() <= told.movement(case) * (golden - given).norm(), name
        if case.has(f"last_epoch_{name}"):  # before what follows the last step
            found, golden = last[f"seed1.{told.tensor(name)}"], case.array(f"last_epoch_{name}")
            assert (found - golden).norm() <= told.movement(case) * (golden - given).norm(), name
    near(world.logits(method, case.classnames), case.array(f"final_{told.tested}"), LOGITS)
    if "new_classnames" in settings:
        near(world.logits(method, tuple(settings["new_classnames"])), case.array("new_logits"), LOGITS)
