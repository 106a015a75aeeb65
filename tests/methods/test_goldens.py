"""Every successor method against its authors' own numbers, through both text paths.

The cases are those of tests/goldens_successors, and of the folder that the environment variable COCOOP_GOLDENS names.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from cocoop import methods
from cocoop.config import TrainingSpec
from cocoop.methods.base import Batch, Method, Task
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.methods.goldens import CASES, FOLDERS, Case, read
from tests.oracle import TOKENIZER
from tests.reference import golden_model, goldens
from tests.runs import run_of
from tests.test_parity import train_features
from tests.training.trained import trainer

LOGITS, LOSS, NORM, MOVEMENT = 5e-4, 1e-4, 1e-3, 2e-3  # far above the noise of fp32, far below any mistake


@dataclass(frozen=True)
class Told:
    """How a method here reads a golden case.

    params: of the class; tensors: our names of the golden tensors; terms: our names of the golden loss terms, which are times
    `factor` here.
    """

    variant: str
    params: Callable[[Mapping[str, Any]], dict[str, Any]]
    tensors: Mapping[str, str]
    terms: Mapping[str, str]
    factor: Callable[[Mapping[str, Any], str], float] = lambda settings, term: 1.0
    training: dict[str, Any] = field(default_factory=dict)


def prompts(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n_ctx": settings["n_ctx"],
        "ctx_init": settings["ctx_init"],
        "csc": settings["csc"],
        "class_token_position": "end",
    }


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
}
HERE = [case for case in CASES if case.method in TOLD]
every = pytest.mark.parametrize("case", HERE, ids=str)


@pytest.fixture(scope="module")
def model():
    return golden_model()


@pytest.fixture(scope="module", params=["fast", "literal"])
def text(request, model) -> TextEncoder:
    """Both text paths must agree with the authors' code."""
    if request.param == "literal":
        return TextEncoder.literal(model)
    return TextEncoder.fast(TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot))


@pytest.mark.parametrize("folder", FOLDERS, ids=str)
def test_a_folder_of_goldens_has_cases(folder):
    assert list(read(folder)), f"{folder}: no METHOD.npz with METHOD.json"


def build(case: Case, text: TextEncoder) -> Method:
    told, settings = TOLD[case.method], case.settings
    templates = tuple(settings.get("templates", ())) or (settings["template"],)
    run = run_of(told.variant, params=told.params(settings), seeds=(1,), templates=templates)
    return methods.build(run, Task(text, (1,), case.classnames, templates))


def put(method: Method, case: Case, prefix: str) -> None:
    """Takes over the golden tensors, or keeps the start where there are none."""
    told, found = TOLD[case.method], method.learned()
    given = {
        f"seed1.{own}": case.array(f"{prefix}{name}")
        for name, own in told.tensors.items()
        if case.has(f"{prefix}{name}")
    }
    method.load_learned(found | given, str(case))


def features() -> Tensor:
    return torch.from_numpy(goldens()["image_features"])[None]  # (1, 6, E)


def logits(method: Method, classnames: tuple[str, ...]) -> Tensor:
    with torch.no_grad():
        return method.eval().for_classes(classnames)(features())[0]


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
    near(logits(method, case.classnames), case.array("init_logits"), LOGITS)


@every
def test_logits_losses_and_gradients_at_given_parameters(case, text):
    told, method = TOLD[case.method], build(case, text)
    put(method, case, "")
    classifier = method.for_classes(case.classnames)
    batch = Batch(features(), torch.tensor(case.settings["labels"])[None], features())
    found, losses = method.losses(classifier, batch)
    near(found[0], case.array("logits"), LOGITS)
    for name, own in told.terms.items():
        expected = told.factor(case.settings, name) * case.settings["at_given"][name]
        assert float(losses[own].detach()) == pytest.approx(
            expected, abs=LOSS * max(1, told.factor(case.settings, name))
        )
    method.backward(losses)
    for name, own in told.tensors.items():
        gradient = method.get_parameter(own).grad[0]
        near_in_norm(gradient, case.array("grad" if case.has("grad") else f"grad_{name}"))


@every
@pytest.mark.slow
def test_whole_training_and_new_classes(case, text, model):
    told, method, settings = TOLD[case.method], build(case, text), case.settings
    start = settings.get("trajectory_starts_from")
    put(method, case, start.removeprefix(f"{case.name}_").removesuffix("ctx") if start else "init_")
    before = {name: tensor.clone() for name, tensor in method.learned().items()}
    training = replace(
        TrainingSpec(settings["epochs"], settings["batch_size"], settings["lr"], 1, 1e-5, 0.9, 5e-4), **told.training
    )
    images = train_features(model)[case.kept][None, None], case.train_labels[None]  # (1, 1, N, E), (1, N)
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
    assert [rate for rate, _ in steps] == pytest.approx(settings["lrs"], rel=1e-7)
    for name, own in told.terms.items():
        factor, stored = told.factor(settings, name), f"losses_{name}" if f"losses_{name}" in settings else "losses"
        expected = [factor * loss for loss in settings[stored]]
        assert [float(losses[own]) for _, losses in steps] == pytest.approx(expected, abs=LOSS * max(1, factor))
    for name, own in told.tensors.items():
        final, golden, first = method.get_parameter(own)[0], case.array(f"final_{name}"), before[f"seed1.{own}"]
        near_in_norm(final, golden)
        assert (final.detach() - golden).norm() <= MOVEMENT * (golden - first).norm()
    near(logits(method, case.classnames), case.array("final_logits"), LOGITS)
    if "new_classnames" in settings:
        near(logits(method, tuple(settings["new_classnames"])), case.array("new_logits"), LOGITS)
