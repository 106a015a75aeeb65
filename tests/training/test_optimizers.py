"""Optimizers by name, schedules by epoch and by step: an interrupted training ends with the same bits."""

import math
from dataclasses import replace

import pytest
import torch

from cocoop.methods.base import Method, Task
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.schedule import Schedule
from tests.methods.test_contract import NAMES, TEMPLATE, Noisy, data
from tests.oracle import TOKENIZER, text_model
from tests.training.test_training import TRAINING
from tests.training.trained import fit


class Stopped(Exception):
    pass


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def method_of(text) -> Method:
    return Noisy(Task(text, (1, 2), NAMES, (TEMPLATE,)), p=0.2)


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("schedule", ["epoch", "step"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_resumes_exactly(text, optimizer, schedule, precision, tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    training, path = replace(TRAINING, optimizer=optimizer, schedule=schedule), tmp_path / "checkpoint.safetensors"
    options = {"precision": precision}
    whole = method_of(text)
    expected = fit(whole, whole.for_classes(NAMES), *data(), training, **options)
    first = method_of(text)
    keeper = Keeper(first, path, "x", training.epochs)

    def stop(done):
        keeper(done)
        if done.epochs == 2:
            raise Stopped

    with pytest.raises(Stopped):
        fit(first, first.for_classes(NAMES), *data(), training, after_epoch=stop, **options)
    second = method_of(text)
    done = resume(second, path, "x")
    assert done.epochs == 2
    found = fit(second, second.for_classes(NAMES), *data(), training, done=done, **options)
    assert found.history == expected.history
    assert all(torch.equal(tensor, second.learned()[name]) for name, tensor in whole.learned().items())
    assert second.epochs_seen.tolist() == [training.epochs] * 2


def test_rates_by_step_follow_one_cosine_after_the_warm_up():
    schedule = Schedule(replace(TRAINING, schedule="step", lr=1.0, epochs=3, warmup_epochs=1), 10)  # batches of 2
    rates = [schedule.rate(epoch, step) for epoch in range(3) for step in range(5)]
    assert rates[:5] == [TRAINING.warmup_lr] * 5
    assert rates[5:] == pytest.approx([(1 + math.cos(math.pi * step / 15)) / 2 for step in range(10)])


@pytest.mark.parametrize(("steps", "epochs", "last"), [(7, 2, 2), (10, 2, 5), (3, 1, 3), (None, 4, 5)])
def test_number_of_steps_decides_the_length_of_a_training(text, steps, epochs, last):
    training = replace(TRAINING, steps=steps)
    schedule = Schedule(training, 10)
    assert (schedule.epochs, schedule.steps_of(schedule.epochs - 1)) == (epochs, last)
    method, seen = method_of(text), []
    classify = method.for_classes(NAMES)
    fit(method, lambda x: seen.append(1) or classify(x), *data(), training)
    assert len(seen) == schedule.steps == (steps or 20)


def test_incomplete_last_batch_is_kept_when_asked(text):
    training, method, seen = replace(TRAINING, batch_size=4, drop_last=False, epochs=1), method_of(text), []
    classify = method.for_classes(NAMES)
    fit(method, lambda x: seen.append(x.shape[1]) or classify(x), *data(), training)
    assert seen == [4, 4, 2]
