"""Every method that changes both towers against its authors' own numbers, through both text paths.

The cases are those of tests/goldens_successors, and of the folder that the environment variable COCOOP_GOLDENS names.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

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
from tests.reference import golden_images, model_by_formula
from tests.runs import run_of

LOGITS, LOSS, NORM, MOVEMENT, FEATURES = (
    5e-4,
    1e-4,
    1e-3,
    2e-3,
    1e-4,
)  # far above the noise of fp32, far below any mistake
Settings = Mapping[str, Any]
Terms = dict[str, tuple[str, float]]


def features_of(method: Method, classify: Any, batch: Batch) -> dict[str, Tensor]:
    """The features of a classifier by cosine similarity; compared by direction."""
    return {"image_features": classify.image(batch.inputs), "text_features": classify.features()}


def training_of(settings: Settings) -> dict[str, Any]:
    given = settings["optimizer"]
    found = {"momentum": given.get("momentum", 0.0), "optimizer": given["name"]}
    found |= {key: given[key] for key in ("lr", "weight_decay", "warmup_epochs", "warmup_lr", "betas") if key in given}
    return found | {"epochs": settings["epochs"], "batch_size": settings["batch_size"]}


@dataclass(frozen=True)
class Told:
    """How a method here reads a golden case.

    variant: a registered variant.
    params: of the class.
    tensor: our name of an official tensor.
    terms: official name of a loss term -> our name and the factor that ours has, for a number of images.
    arrays: the tensors at the given parameters by their golden names (with S in front); logits are compared as they are, others
        by the direction of their last dimension.
    training: settings of the optimizer and the schedule.
    prepare: called with the method before the loss at the given parameters, and before a training, to replace random numbers.
    movement: tolerance of what the training moves.
    """

    variant: Callable[[Settings], str]
    params: Callable[[Settings], dict[str, Any]]
    tensor: Callable[[str], str]
    terms: Callable[[Settings, int], Terms] = lambda settings, images: {}
    arrays: Callable[[Method, Any, Batch], dict[str, Tensor]] = features_of
    training: Callable[[Settings], dict[str, Any]] = training_of
    prepare: Callable[[Method, Case, str], None] = lambda method, case, moment: None
    movement: Callable[[Case], float] = lambda case: MOVEMENT


def renamed(*rules: tuple[str, str | Callable[[re.Match], str]]) -> Callable[[str], str]:
    """A function that renames by the first of these regular expressions that matches the whole name."""

    def rename(name: str) -> str:
        for pattern, ours in rules:
            if found := re.fullmatch(pattern, name):
                return found.expand(ours) if isinstance(ours, str) else ours(found)
        raise AssertionError(f"no rule for the golden tensor {name}")

    return rename


def words_of(settings: Settings) -> str | None:
    """The authors' code draws contexts of more than four tokens at random (maple.py:82)."""
    return (settings.get("ctx_init") or None) if settings.get("n_ctx", settings.get("text_n_ctx")) <= 4 else None


MAPLE_TENSORS = (
    (r"prompt_learner\.ctx", "prompts.0"),
    (r"prompt_learner\.proj\.(\w+)", r"projections.0.\1"),
    (r"prompt_learner\.compound_prompts_text\.(\d+)", lambda m: f"prompts.{int(m[1]) + 1}"),
    (r"prompt_learner\.compound_prompt_projections\.(\d+)\.(\w+)", lambda m: f"projections.{int(m[1]) + 1}.{m[2]}"),
)


def maple_params(settings: Settings) -> dict[str, Any]:
    return {"n_ctx": settings["n_ctx"], "ctx_init": words_of(settings), "depth": settings["prompt_depth"]}


def both_params(settings: Settings) -> dict[str, Any]:
    text = {"n_ctx": settings["text_n_ctx"], "ctx_init": words_of(settings), "depth": settings["text_depth"]}
    return text | {name: settings[name] for name in ("vision_n_ctx", "vision_depth")}


def ivlp_or_vpt(settings: Settings) -> str:
    """The authors' trainer of IVLP trains language prompts alone if the vision depth is 0."""
    if settings["method"] == "VPT":
        return "vpt"
    return "ivlp" if settings["vision_depth"] else "deep_language"


def ivlp_or_vpt_params(settings: Settings) -> dict[str, Any]:
    if settings["method"] == "VPT":
        return {name: settings[name] for name in ("vision_n_ctx", "vision_depth", "template")}
    found = both_params(settings)
    return found if settings["vision_depth"] else {name: found[name] for name in ("n_ctx", "ctx_init", "depth")}


INDEPENDENT_TENSORS = (
    (r"prompt_learner\.ctx", "text_prompts.0"),
    (r"text_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow", r"text_prompts.\1"),
    (r"image_encoder\.VPT", "image_prompts.0"),
    (r"image_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow", r"image_prompts.\1"),
)


def promptsrc_params(settings: Settings) -> dict[str, Any]:
    weights = {"text_weight": settings["text_loss_weight"], "image_weight": settings["image_loss_weight"]}
    names = ("teacher_templates", "gpa_mean", "gpa_std")
    return both_params(settings) | weights | {name: settings[name] for name in names}


def promptsrc_terms(settings: Settings, images: int) -> Terms:
    return {
        "ce": ("cross_entropy", 1),
        "l1_text": ("text", settings["text_loss_weight"]),
        "l1_image": ("image", settings["image_loss_weight"]),
        "kl_sum": ("logits", 1 / (images * len(settings["classnames"]))),
    }


def promptsrc_arrays(method: Any, classify: Any, batch: Batch) -> dict[str, Tensor]:
    teacher = method.text.zero_shot(method.task.classnames, method.templates, "raw")
    found = features_of(method, classify, batch)
    return found | {"teacher_text_mean": teacher[None], "teacher_image": batch.frozen}


class Drawn:
    """Noise from which the sentences of a golden are drawn."""

    def __init__(self, indices: list[int], sentences: int) -> None:
        self.values = iter([(index + 0.5) / sentences for index in indices])

    def restart(self, *moment: object) -> None:
        pass

    def uniform(self, *shape: int) -> Tensor:
        return torch.full((1, *shape), next(self.values))


def draw_sentences(method: Method, case: Case, moment: str) -> None:
    told = case.settings
    indices = [told["sentence_drawn_at_given"]] if moment == "at_given" else told["sentences_drawn"]
    method.noise = Drawn(indices, len(told["sentences"]))


def coprompt_params(settings: Settings) -> dict[str, Any]:
    adapters = {f"{tower}_ratio": settings["adapter_ratio"][tower] for tower in ("image", "text")}
    adapters |= {"reduction": settings["adapter_reduction"], "weight": settings["distill_weight"]}
    return maple_params(settings) | adapters


def coprompt_arrays(method: Any, classify: Any, batch: Batch) -> dict[str, Tensor]:
    """The golden features are those before the adapters."""
    image, text = (
        type(method).__base__.image_features(method, batch.inputs),
        method.prompts.features(method.task.classnames),
    )
    teacher = method.teacher[0].unflatten(0, (len(method.task.classnames), -1)).transpose(0, 1)
    found = {"image_features": image, "text_features": text()}
    return found | {"teacher_sentences": teacher[None], "teacher_image_mirrored": batch.second}


COPROMPT_TENSORS = (
    (r"adapter_(\w+)\.fc\.0\.weight", r"\1_adapter.down"),
    (r"adapter_(\w+)\.fc\.2\.weight", r"\1_adapter.up"),
)
TOLD = {
    "maple": Told(lambda settings: "maple", maple_params, renamed(*MAPLE_TENSORS)),
    "ivlp_vpt": Told(ivlp_or_vpt, ivlp_or_vpt_params, renamed(*INDEPENDENT_TENSORS)),
    "promptsrc": Told(
        lambda settings: "promptsrc",
        promptsrc_params,
        renamed(*INDEPENDENT_TENSORS),
        promptsrc_terms,
        promptsrc_arrays,
    ),
    "coprompt": Told(
        lambda settings: "coprompt",
        coprompt_params,
        renamed(*MAPLE_TENSORS, *COPROMPT_TENSORS),
        lambda settings, images: {
            "ce": ("cross_entropy", 1),
            "distill_text": ("text", settings["distill_weight"]),
            "distill_image": ("image", settings["distill_weight"]),
        },
        coprompt_arrays,
        prepare=draw_sentences,
    ),
}
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
        return TOLD[self.case.method]

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
        return methods.build(run, Task(self.text, (1,), names, run.templates, described, self.image))

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
    for name, (own, factor) in world.told.terms(world.case.settings, images).items():
        assert found[own] == pytest.approx(factor * expected[name], abs=LOSS * max(1, factor)), name


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
    near(world.logits(method, case.classnames), case.array("logits"), LOGITS)
    for name, found in told.arrays(method, classify, batch).items():
        if name.startswith("logits"):
            near(found[0], case.array(name), LOGITS)
        elif case.has(name):
            near(F.normalize(found[0], dim=-1), F.normalize(case.array(name), dim=-1), FEATURES)
    told.prepare(method.train(), case, "at_given")
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
    near(world.logits(method, case.classnames), case.array("final_logits"), LOGITS)
    if "new_classnames" in settings:
        near(world.logits(method, tuple(settings["new_classnames"])), case.array("new_logits"), LOGITS)
