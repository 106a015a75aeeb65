"""Every successor method against its authors' own numbers, through both text paths.

The cases are those of tests/goldens_successors, and of the folder that the environment variable COCOOP_GOLDENS names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop import methods
from cocoop.backbone import vision_reading
from cocoop.backbone.vision import ImageEncoder
from cocoop.config import Registry, TrainingSpec
from cocoop.methods.base import Batch, Method, Task
from cocoop.methods.plot import PLOT
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.methods.goldens import CASES, FOLDERS, Case, read
from tests.oracle import TOKENIZER
from tests.runs import run_of
from tests.training.trained import trainer

LOGITS, LOSS, NORM, MOVEMENT = 5e-4, 1e-4, 1e-3, 2e-3  # far above the noise of fp32, far below any mistake


@dataclass(frozen=True)
class Told:
    """How a method here reads a golden case.

    params: of the class; tensors: our names of the golden tensors; terms: our names of the golden loss terms, which are times
    `factor` here; training: what differs from CoOp's; shown: what the method computes of a golden array at the given tensors.
    """

    variant: str
    params: Callable[[Mapping[str, Any]], dict[str, Any]]
    tensors: Mapping[str, str]
    terms: Mapping[str, str]
    factor: Callable[[Mapping[str, Any], str], float] = lambda settings, term: 1.0
    training: Callable[[Mapping[str, Any]], dict[str, Any]] = lambda settings: {}
    shown: Mapping[str, Callable[[Any, Case], Tensor]] = field(default_factory=dict)


def prompts(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n_ctx": settings["n_ctx"],
        "ctx_init": settings["ctx_init"],
        "csc": settings["csc"],
        "class_token_position": "end",
    }


def student_template(settings: Mapping[str, Any]) -> str:
    """What follows the context, the first words of the student's template."""
    return " ".join(settings["student_template"].split(" ")[settings["n_ctx"] :])


TCP_TENSORS = ("ctx", *(f"meta_net.linear{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")))
TOLD = {
    "kgcoop": Told(
        "kgcoop",
        lambda settings: prompts(settings) | {"weight": settings["weight"]},
        {"ctx": "ctx"},
        {"ce": "cross_entropy", "kg": "knowledge"},
        lambda settings, term: settings["weight"] if term == "kg" else 1.0,
    ),
    "prograd": Told(
        "prograd",
        lambda settings: {
            "n_ctx": settings["n_ctx"],
            "from_template": bool(settings["ctx_init"]),
            "loss_t": settings["T"],
            "loss_lambda": settings["lambda"],
        },
        {"ctx": "ctx"},
        {"xe": "cross_entropy", "kl": "general"},
    ),
    "clip_adapter": Told(
        "clip_adapter",
        lambda settings: {"ratio": settings["ratio"], "reduction": settings["reduction"]},
        {"fc.0.weight": "adapter.down", "fc.2.weight": "adapter.up"},
        {"loss": "cross_entropy"},
    ),
    "taskres": Told(
        "taskres",
        lambda settings: {"alpha": settings["alpha"]},
        {"residual": "residual"},
        {"loss": "cross_entropy"},
        training=lambda settings: {"optimizer": "adam", "eps": settings["adam_eps"]},
    ),
    "tcp": Told(
        "tcp",
        lambda settings: {
            "n_ctx": settings["n_ctx"],
            "ctx_init": settings["ctx_init"],
            "inject_before_block": settings["inject_before_block"],
            "inject_weight": settings["inject_weight"],
            "weight": settings["knowledge_weight"],
            "reduction": 4,
            "student_templates": {settings["dataset"]: student_template(settings)},
        },
        {name: name for name in TCP_TENSORS},
        {"ce": "cross_entropy", "kg": "knowledge"},
        lambda settings, term: settings["knowledge_weight"] if term == "kg" else 1.0,
        lambda settings: {"optimizer": "adam", "eps": settings["adam_eps"]},
        {
            "teacher": lambda method, case: method.teacher(case.classnames),
            "class_prompts": lambda method, case: method.meta_net(method.teacher(case.classnames))[0],
        },
    ),
    "plot": Told(
        "plot",
        lambda settings: {
            "n_prompts": settings["N"],
            "n_ctx": settings["n_ctx"],
            "epsilon": settings["eps"],
            "rounds": settings["max_iter"],
            "threshold": settings["threshold"],
            "global_logits": [settings["dataset"]] if settings["global_logits_added"] else [],
        },
        {"ctx": "ctx"},
        {"loss": "cross_entropy"},
        shown={
            "image_tokens": lambda method, case: features(case)[0].transpose(0, 1),
            "text_features": lambda method, case: plot_text(method, case)[0],
            "transport": lambda method, case: plot_plan(method, case)[0, :2],
            "logits_one_by_one": lambda method, case: torch.cat(
                [method.for_classes(case.classnames)(picture)[0] for picture in features(case).split(1, 1)]
            ),
        },
    ),
}


def plot_text(method: PLOT, case: Case) -> Tensor:
    """Text features (1, N, C, E) of the prompts."""
    encoder = method.text.encoder(method.text.learnable(case.classnames, method.ctx.shape[2]))
    return encoder(method.ctx[0])[None]


def plot_plan(method: PLOT, case: Case) -> Tensor:
    local = F.normalize(features(case)[:, :, 1:], dim=-1)
    return method.transport(method.similarity(local, plot_text(method, case)))[0]


HERE = [case for case in CASES if case.method in TOLD]
every = pytest.mark.parametrize("case", HERE, ids=str)


@cache
def text_of(path: str, model: open_clip.CLIP) -> TextEncoder:
    if path == "literal":
        return TextEncoder.literal(model)
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot))


@pytest.fixture(params=["fast", "literal"])
def text(request, case) -> TextEncoder:
    """Both text paths must agree with the authors' code."""
    return text_of(request.param, case.model)


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_goldens_has_cases(folder):
    """Cases of CLIP itself are those of tests/test_parity.py."""
    assert list(read(folder)) or list(folder.glob("clip_tiny*.npz")), f"{folder}: no METHOD.npz with METHOD.json"


def build(case: Case, text: TextEncoder) -> Method:
    told, settings = TOLD[case.method], case.settings
    template = settings.get("template", settings.get("teacher_template", "a photo of a {}."))
    templates = tuple(settings.get("templates", (template,)))
    run = run_of(told.variant, params=told.params(settings), seeds=(1,), templates=templates)
    return methods.build(run, Task(text, (1,), case.classnames, templates, templates[0], dataset=settings["dataset"]))


def put(method: Method, case: Case, prefix: str) -> None:
    """Takes over the golden tensors, or keeps the start where there are none."""
    told, found = TOLD[case.method], method.learned()
    given = {
        f"seed1.{own}": case.array(f"{prefix}{name}")
        for name, own in told.tensors.items()
        if case.has(f"{prefix}{name}")
    }
    method.load_learned(found | given, str(case))


@cache
def encoded(model: open_clip.CLIP, pixels: Tensor, local: bool) -> Tensor:
    with torch.no_grad():
        if local:
            return ImageEncoder(vision_reading.read(model), torch.device("cpu")).tokens(pixels)[0]
        return model.encode_image(pixels)


def features(case: Case, prefix: str = "image") -> Tensor:
    """(1, N, E), or (1, N, 1 + L, E) for a method that needs local features."""
    local = "local_features" in Registry().variants[TOLD[case.method].variant].needs
    return encoded(case.model, case.pixels(prefix), local)[None]


def logits(method: Method, case: Case, classnames: tuple[str, ...]) -> Tensor:
    with torch.no_grad():
        return method.eval().for_classes(classnames)(features(case))[0]


def near(found: Tensor, expected: Tensor, least: float) -> None:
    torch.testing.assert_close(found.detach(), expected, rtol=0, atol=least)


def near_in_norm(found: Tensor, expected: Tensor) -> None:
    assert (found.detach() - expected).norm() <= NORM * expected.norm()


@every
def test_start_is_that_of_the_authors(case, text):
    method = build(case, text)
    if case.settings.get("ctx_init"):
        near(method.ctx[0], case.array("init_ctx"), 1e-5)
    put(method, case, "init_")
    if case.has("init_logits"):
        near(logits(method, case, case.classnames), case.array("init_logits"), LOGITS)


@every
def test_logits_losses_and_gradients_at_given_parameters(case, text):
    told, method = TOLD[case.method], build(case, text)
    put(method, case, "")
    classifier = method.for_classes(case.classnames)
    batch = Batch(features(case), torch.tensor(case.settings["labels"])[None], features(case))
    found, losses = method.losses(classifier, batch)
    near(found[0], case.array("logits"), LOGITS)
    at_given, learned = case.settings["at_given"], [method.get_parameter(own) for own in told.tensors.values()]
    for name, own in told.terms.items():
        factor = told.factor(case.settings, name)
        assert float(losses[own].detach()) == pytest.approx(factor * at_given[name], abs=LOSS * max(1, factor))
        if factor:
            term = torch.autograd.grad(losses[own].sum() / factor, learned, retain_graph=True, allow_unused=True)
            check_gradients(case, f"grad_{name}", term)
    if "loss" in at_given:
        assert float(sum(losses.values()).detach()) == pytest.approx(at_given["loss"], abs=LOSS)
    method.backward(losses)
    without = [told.tensors[name] for name in case.settings.get("without_gradient", ())]
    assert [own for own in told.tensors.values() if method.get_parameter(own).grad is None] == without
    assert check_gradients(case, "grad", [parameter.grad for parameter in learned]) == len(learned) - len(without)


def check_gradients(case: Case, prefix: str, gradients: Sequence[Tensor | None]) -> int:
    """Compares the gradients of the learned tensors with those that the case has, and counts them."""
    compared = 0
    for name, gradient in zip(TOLD[case.method].tensors, gradients, strict=True):
        stored = f"{prefix}_{name}" if case.has(f"{prefix}_{name}") else prefix
        if gradient is not None and case.has(stored):
            near_in_norm(gradient[0], case.array(stored))
            compared += 1
    return compared


@every
def test_parts_at_given_parameters(case, text):
    """The number of parameters, and what the authors' code has on the way to the logits."""
    told, method, counts = TOLD[case.method], build(case, text), case.settings.get("parameters", {})
    sizes = {name: method.get_parameter(own)[0].numel() for name, own in told.tensors.items()}
    assert counts in (sizes, sum(sizes.values()))
    put(method, case, "")
    with torch.no_grad():
        for name, compute in told.shown.items():
            near_in_norm(compute(method, case), case.array(name))


def train(method: Method, case: Case) -> list[tuple[float, dict[str, Tensor]]]:
    """Trains as in the case, with the pictures in order; the learning rate and the losses of each step."""
    settings = case.settings
    training = replace(
        TrainingSpec(settings["epochs"], settings["batch_size"], settings["lr"], 1, 1e-5, 0.9, 5e-4),
        **TOLD[case.method].training(settings),
    )
    images = features(case, "train_image")[:, None, case.kept], case.train_labels[None]  # (1, 1, N, ...), (1, N)
    trained = trainer(
        method, method.for_classes(case.classnames), images, training, order=lambda s, e, n: torch.arange(n)
    )
    steps, step = [], trained.step

    def noted(batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        done = step(batch)
        steps.append((trained.optimizer.param_groups[0]["lr"], done[0]))
        return done

    trained.step = noted
    trained.run()
    return steps


@every
@pytest.mark.slow
def test_whole_training_and_new_classes(case, text):
    told, method, settings = TOLD[case.method], build(case, text), case.settings
    start = settings.get("trajectory_starts_from")
    put(method, case, start.removeprefix(f"{case.name}_").removesuffix("ctx") if start else "init_")
    before = {name: tensor.clone() for name, tensor in method.learned().items()}
    steps = train(method, case)
    assert [rate for rate, _ in steps] == pytest.approx(settings["lrs"], rel=1e-7)
    for name, own in told.terms.items():
        factor, stored = told.factor(settings, name), f"losses_{name}" if f"losses_{name}" in settings else "losses"
        expected = [factor * loss for loss in settings[stored]]
        assert [float(losses[own]) for _, losses in steps] == pytest.approx(expected, abs=LOSS * max(1, factor))
    if "losses" in settings:
        assert [float(sum(losses.values())) for _, losses in steps] == pytest.approx(settings["losses"], abs=LOSS)
    for name, own in told.tensors.items():
        final, golden, first = method.get_parameter(own)[0], case.array(f"final_{name}"), before[f"seed1.{own}"]
        near_in_norm(final, golden)
        assert (final.detach() - golden).norm() <= MOVEMENT * (golden - first).norm()
    near(logits(method, case, case.classnames), case.array("final_logits"), LOGITS)
    if "new_classnames" in settings:
        near(logits(method, case, tuple(settings["new_classnames"])), case.array("new_logits"), LOGITS)
