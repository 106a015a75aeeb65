"""Tip-Adapter, Tip-Adapter-F, LP++ and the base of TaskRes against their authors' own numbers, through both text paths.

Their goldens hold features, searches and whole trainings; the cases are found as in test_goldens.py.
"""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop import methods
from cocoop.config import TrainingSpec
from cocoop.methods.base import Batch, FewShot, Method, Task
from cocoop.methods.selection import right
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.methods.goldens import Case, read
from tests.methods.test_goldens import FOLDERS, LOGITS, LOSS, MOVEMENT, near, near_in_norm
from tests.oracle import TOKENIZER
from tests.runs import run_of
from tests.training.trained import trainer

VIEWS = {"plain": [], "hflip": [3], "vflip": [2]}  # the dimensions of the pixels that are flipped
CASES = [case for folder in FOLDERS for case in read(folder)]
TASKRES, TIP, LPP = ([case for case in CASES if case.method == method] for method in ("taskres", "tip_adapter", "lpp"))
paths = pytest.mark.parametrize("path", ["fast", "literal"])


def build(variant: str, case: Case, path: str, **params: Any) -> Method:
    """The variant for one seed and the case's classes, with the text tower of the case's CLIP."""
    if path == "literal":
        text = TextEncoder.literal(case.model)
    else:
        text = TextEncoder.fast(TextTower.from_open_clip(case.model, TOKENIZER.sot, TOKENIZER.eot))
    templates = tuple(case.settings.get("templates", ())) or (case.settings["template"],)
    run = run_of(variant, params=params, seeds=(1,), templates=templates)
    return methods.build(run, Task(text, (1,), case.classnames, templates))


def parameters(method: Method) -> dict[str, int]:
    return {name: math.prod(shape) for name, shape in method.shapes().items()}


def training_features(case: Case) -> Tensor:
    """Raw features (1, V, N, E) of the case's views of its training pictures."""
    pixels = case.pixels("train_image")[case.kept]
    with torch.no_grad():
        return torch.stack([case.model.encode_image(pixels.flip(VIEWS[view])) for view in case.settings["views"]])[None]


def tip(case: Case, path: str, variant: str) -> tuple[Method, Tensor]:
    """The method with its cache, and the features of the training pictures."""
    settings = case.settings
    method = build(
        variant, case, path, alpha=settings["init_alpha"], beta=settings["init_beta"], cache_views=len(settings["views"]),
        search_scale=settings["search_scale"], search_step=settings["search_step"],
    )  # fmt: skip
    assert case.train_labels.tolist() == settings["train_labels"]
    features = training_features(case)
    method.fit(FewShot(features, case.train_labels[None]))
    return method, features


def images(case: Case, split: str) -> tuple[Tensor, Tensor]:
    """Features (1, B, E) and labels (1, B)."""
    return case.array(f"{split}_features")[None], case.array(f"{split}_labels")[None]


def logits(method: Method, case: Case) -> Tensor:
    with torch.no_grad():
        return method.for_classes(case.classnames)(case.array("test_features")[None])[0]


def counts_are(found: Tensor, case: Case, name: str, certainty: dict) -> None:
    """The right images at each grid point; a point with a tie within the noise may differ."""
    assert found.shape[1:] == case.array(name).shape
    assert int((found[0] != case.array(name)).sum()) <= certainty["uncertain_points"]
    assert certainty["points"] == found[0].numel()


@pytest.mark.parametrize("case", TASKRES, ids=str)
@paths
def test_base_of_taskres(case, path):
    """Class names keep their underscores, and features are averaged as they are."""
    method = build("taskres", case, path, alpha=case.settings["alpha"])
    near_in_norm(method.base(), case.array("base_text_features"))
    assert parameters(method) == {"residual": case.settings["parameters"]}


@pytest.mark.parametrize("case", TIP, ids=str)
@paths
def test_tip_adapter(case, path):
    settings = case.settings
    method, _ = tip(case, path, "tip_adapter")
    near(method.keys[0].T, case.array("cache_keys"), 1e-5)
    near(F.one_hot(method.labels[0], len(case.classnames)).float(), case.array("cache_values"), 0)
    zero_shot, _ = method.compared(case.array("test_features")[None])
    near(zero_shot[0], case.array("zero_shot_logits"), LOGITS)
    near(logits(method, case), case.array("tip_logits"), LOGITS)
    assert method.shapes() == {}
    counts_are(method.search(*images(case, "val")), case, "search_correct", settings["search_certainty"])
    if settings["search_certainty"]["certain"]:
        assert method.chosen() == {
            1: pytest.approx({"alpha": settings["best_alpha"], "beta": settings["best_beta"]}, rel=1e-4)
        }
        near(logits(method, case), case.array("best_logits"), LOGITS)


@pytest.mark.parametrize("case", TIP, ids=str)
@paths
@pytest.mark.slow
def test_tip_adapter_f(case, path):
    settings, first = case.settings, case.settings["batch_size"]
    method, features = tip(case, path, "tip_adapter_f")
    start = method.keys[0].detach().clone()
    near(start, case.array("cache_keys").T, 1e-5)
    assert parameters(method) == {"keys": settings["parameters_F"]}
    plain, labels = features[:, [settings["views"].index("plain")]], case.train_labels[None]
    classifier = method.for_classes(case.classnames)
    _, losses = method.losses(classifier, Batch(plain[:, 0, :first], labels[:, :first]))
    method.backward(losses)
    near_in_norm(method.keys.grad[0], case.array("F_grad"))
    adamw = settings["adamw"]
    training = TrainingSpec(
        settings["train_epoch"], first, settings["lr"], 0, 0.0, 0.0, adamw["weight_decay"], "adamw", "step", None, False,
        tuple(adamw["betas"]), adamw["eps"],
    )  # fmt: skip
    assert adamw["lr"] == settings["lr"]
    trained = trainer(method, classifier, (plain, labels), training, order=lambda s, e, n: torch.arange(n))
    rates, steps, accuracies, last = [], [], [], []
    step = trained.step

    def noted(batch: Batch):
        done = step(batch)
        rates.append(trained.optimizer.param_groups[0]["lr"])
        steps.append(float(done[0]["cross_entropy"]))
        return done

    def after_epoch(done) -> None:
        """The authors select the epoch on the test pictures."""
        features, labels = images(case, "test")
        accuracies.append(100 * float(right(method.logits(features), labels)) / labels.numel())
        if done.epochs == training.epochs:
            last.append((method.keys[0].detach().clone(), logits(method, case)))
        method.select(features, labels, done.epochs - 1, training.epochs)

    trained.step = noted
    trained.run(after_epoch=after_epoch)
    assert rates == pytest.approx(settings["lrs"], rel=1e-7)
    assert steps == pytest.approx(settings["losses"], abs=LOSS)
    final, golden = last[0][0], case.array("F_final_weight")
    near_in_norm(final, golden)
    assert (final - golden).norm() <= MOVEMENT * (golden - start).norm()
    near(last[0][1], case.array("F_final_logits"), LOGITS)
    assert accuracies == pytest.approx(settings["test_accuracy_by_epoch"], abs=0.01)
    assert method.chosen()[1]["epoch"] == settings["F_best_epoch_on_test"] + 1
    near_in_norm(method.keys[0], case.array("F_best_weight"))
    counts_are(method.search(*images(case, "val")), case, "F_search_correct", settings["F_search_certainty"])
    if settings["F_search_certainty"]["certain"]:
        best = {"alpha": settings["F_best_alpha"], "beta": settings["F_best_beta"]}
        assert {name: method.chosen()[1][name] for name in best} == pytest.approx(best, rel=1e-4)
        near(logits(method, case), case.array("F_best_logits"), LOGITS)


def lpp(case: Case, path: str) -> Method:
    return build("lpp", case, path, epochs=case.settings["epochs"], alpha_scale=250)


def put_bias(method: Method, case: Case) -> None:
    """The authors' random start."""
    with torch.no_grad():
        method.bias.copy_(case.array("init_bias")[None])


@pytest.mark.parametrize("case", LPP, ids=str)
@paths
def test_lpp_start_and_first_gradient(case, path):
    settings, method = case.settings, lpp(case, path)
    put_bias(method, case)
    features, labels = case.array("features")[None], case.array("labels")[None]
    near_in_norm(method.text_features().T, case.array("text_weights"))
    method.start(features, labels)
    for name in ("weight", "bias", "alpha"):
        near_in_norm(method.get_parameter(name)[0], case.array(f"init_{name}").view_as(method.get_parameter(name)[0]))
    assert parameters(method) == settings["parameters"]
    rate, alpha_rate = method.rates(features)
    assert (float(rate), float(alpha_rate)) == pytest.approx((settings["lr_weight"], settings["lr_alpha"]), rel=1e-4)
    near(method.logits(features)[0], case.array("first_logits"), LOGITS)
    _, losses = method.losses(method.for_classes(case.classnames), Batch(features, labels))
    method.backward(losses)
    for name in ("weight", "bias", "alpha"):
        near_in_norm(
            method.get_parameter(name).grad[0], case.array(f"grad_{name}_1").view_as(method.get_parameter(name)[0])
        )


@pytest.mark.parametrize("case", LPP, ids=str)
@paths
@pytest.mark.slow
def test_lpp_training(case, path):
    settings, method = case.settings, lpp(case, path)
    put_bias(method, case)
    features, labels = case.array("features")[None], case.array("labels")[None]
    val, val_labels = case.array("val_features")[None], torch.tensor(settings["val_labels"])[None]
    method.start(features, labels)
    losses, alphas, accuracies = [], [method.alpha[0].detach().clone()], []
    for loss in method.descend(features, labels):
        losses.append(float(loss))
        alphas.append(method.alpha[0].detach().clone())
        accuracies.append(float(right(method.logits(val), val_labels)) / val_labels.numel())
    assert losses == pytest.approx(settings["losses"], abs=LOSS)
    near_in_norm(torch.stack(alphas), case.array("alpha_by_epoch"))
    assert accuracies == pytest.approx(settings["val_accuracy"], abs=1e-6)
    for name in ("weight", "bias", "alpha"):
        final = method.get_parameter(name)[0].detach()
        golden, start = (case.array(f"{moment}_{name}").view_as(final) for moment in ("final", "init"))
        near_in_norm(final, golden)
        assert (final - golden).norm() <= MOVEMENT * (golden - start).norm()
    near(logits(method, case), case.array("final_test_logits"), LOGITS)


@pytest.mark.parametrize("case", LPP, ids=str)
@paths
def test_lpp_takes_the_last_best_epoch(case, path):
    method = lpp(case, path)
    put_bias(method, case)
    val = case.array("val_features")[None], torch.tensor(case.settings["val_labels"])[None]
    method.fit(FewShot(case.array("features")[None, None], case.array("labels")[None], *val))
    assert method.chosen() == {1: {"epoch": case.settings["selected_epoch"] + 1}}
    near(logits(method, case), case.array("selected_test_logits"), LOGITS)
