"""Replayed steps train like launched ones. A stand-in for CUDA graphs repeats a step in the same memory, as they do."""

import logging
import random
from dataclasses import replace

import pytest
import torch

from cocoop.methods.base import Batch, Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.training import replay
from tests.training.test_seeds_together import METHODS, NAMES, SEEDS, TRAINING, text  # noqa: F401  (a fixture)
from tests.training.trained import trainer

RECORDED: list[tuple] = []


def in_place(compute, batch, parameters):
    """Like `replay.on_gpu`: what it returns repeats the step on the recorded batch, and overwrites outcome and gradients."""
    RECORDED.append(tuple(batch.inputs.shape))
    outcome = compute(batch)
    gradients = [parameter.grad for parameter in parameters]

    def again() -> None:
        for parameter in parameters:
            parameter.grad = None
        losses, hits = compute(batch)
        for name, loss in losses.items():
            outcome[0][name].copy_(loss)
        outcome[1].copy_(hits)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            gradient.copy_(parameter.grad)

    return again, outcome


def data(images: int = 14):
    draw = torch.Generator().manual_seed(4)
    features = torch.randn(len(SEEDS), 2, images, 64, generator=draw)
    return features, torch.randint(len(NAMES), (len(SEEDS), images), generator=draw)


@pytest.fixture
def replaying(monkeypatch):
    """Trainings replay on the CPU, too."""
    RECORDED.clear()
    possible = replay.possible
    monkeypatch.setattr(replay, "possible", lambda method, device, *rest: possible(method, torch.device("cuda"), *rest))
    monkeypatch.setattr(replay.Replayed.__init__, "__defaults__", (in_place,))
    return monkeypatch


def trained(text, make):  # noqa: F811
    method = make(text, SEEDS)
    done = trainer(method, method.for_classes(NAMES), data(), replace(TRAINING, drop_last=False)).run()
    return method.learned(), done.history


@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
def test_a_replayed_training_has_the_same_numbers(text, make, monkeypatch, request):  # noqa: F811
    expected, history = trained(text, make)
    request.getfixturevalue("replaying")
    found, again = trained(text, make)
    assert [shape[1] for shape in RECORDED] == [4, 2]  # complete batches, and the last one of an epoch
    assert again == history
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())


class Moody(CoCoOp):
    """Its loss depends on what the host draws in each step."""

    def losses(self, classify, batch):
        logits, losses = super().losses(classify, batch)
        return logits, {name: random.random() * loss for name, loss in losses.items()}


class Noisy(CoCoOp):
    """Its loss depends on the method's own noise."""

    def losses(self, classify, batch):
        return super().losses(
            classify, batch._replace(inputs=batch.inputs + self.noise.normal(*batch.inputs.shape[1:]))
        )


class Changing(CoCoOp):
    """Changes after an epoch."""

    def after_epoch(self, epoch, epochs):
        pass


def cocoop(kind, text):  # noqa: F811
    return kind(Task(text, SEEDS), n_ctx=4, ctx_init="a photo of a", reduction=4)


def test_steps_that_the_host_decides_are_launched(text, replaying, caplog):  # noqa: F811
    caplog.set_level(logging.INFO)
    trained(text, lambda text, seeds: cocoop(Moody, text))
    assert len(RECORDED) == 1
    assert caplog.messages == [
        "training: its steps gave other numbers when one was replayed; each operation is launched instead"
    ]


@pytest.mark.parametrize("kind", [Noisy, Changing])
def test_steps_that_change_are_not_recorded(text, replaying, kind):  # noqa: F811
    trained(text, lambda text, seeds: cocoop(kind, text))
    assert RECORDED == []


def test_the_switch(text, monkeypatch):  # noqa: F811
    method, gpu = cocoop(CoCoOp, text), torch.device("cuda")
    assert replay.possible(method, gpu, selects=False)
    assert not replay.possible(method, torch.device("cpu"), selects=False)
    assert not replay.possible(method, gpu, selects=True)
    monkeypatch.setenv(replay.SWITCH, "0")
    assert not replay.possible(method, gpu, selects=False)


def test_a_step_that_cannot_be_recorded_is_launched(text, replaying, caplog):  # noqa: F811
    def record(compute, batch, parameters):
        compute(batch)
        raise RuntimeError(
            "operation not permitted when stream is capturing\nCUDA kernel errors might be reported later"
        )

    caplog.set_level(logging.INFO)
    expected, _ = trained(text, METHODS["cocoop"])
    replaying.setattr(replay.Replayed.__init__, "__defaults__", (record,))
    found, _ = trained(text, METHODS["cocoop"])
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    assert caplog.messages == [
        "training: its steps cannot be recorded (operation not permitted when stream is capturing); "
        "each operation is launched instead"
    ]


def test_outcomes_outlive_the_next_step(text):  # noqa: F811
    method, (features, labels) = cocoop(CoCoOp, text), data()
    one = trainer(method, method.for_classes(NAMES), (features, labels), TRAINING)
    step = replay.Replayed(one._gradients, list(method.learned_parameters().values()), "here", in_place)
    batches = [Batch(features[:, 0, i : i + 4], labels[:, i : i + 4]) for i in (0, 4, 8)]
    found = [step(batch) for batch in batches]
    expected = [one._gradients(batch) for batch in batches]
    for (losses, hits), (own, own_hits) in zip(found, expected, strict=True):
        assert torch.equal(losses["cross_entropy"], own["cross_entropy"]) and torch.equal(hits, own_hits)
    assert len({float(losses["cross_entropy"].sum()) for losses, _ in found}) == 3
