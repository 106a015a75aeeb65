"""fp16's loss scaling: an overflow costs a seed that step and nothing else, and a seed that cannot train says so."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from cocoop.errors import UserError
from cocoop.methods.base import Batch, Classifier, Task
from cocoop.methods.coop import CoOp
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training import scaling
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.optimizer import state_of
from cocoop.training.scaling import SeedScaler
from tests.oracle import TOKENIZER, text_model
from tests.training.test_seeds_together import METHODS, NAMES, SEEDS, TRAINING
from tests.training.trained import fit, trainer

STEEP = replace(TRAINING, lr=0.02, weight_decay=0.01)
MADE = pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    tower = TextTower.from_open_clip(text_model(64, 3, 4, embed=64), TOKENIZER.sot, TOKENIZER.eot)
    return TextEncoder.fast(tower.in_precision("fp16"))


@pytest.fixture(scope="module")
def data():
    """Features (S, V, N, E) and labels (S, N)."""
    draw = torch.Generator().manual_seed(4)
    features = torch.randn(len(SEEDS), 2, 12, 64, generator=draw)
    return features, torch.randint(len(NAMES), (len(SEEDS), 12), generator=draw)


def stepper(method, data, scaler, training):
    found = trainer(method, method.for_classes(NAMES), data, training, precision="fp16")
    found.scaler = scaler
    return found


def batch(data) -> Batch:
    return Batch(data[0][:, 0], data[1])


def steps(method, data, scaler, count, momentum=0.9):
    """So many updates with one batch; the tensors and momentum they end with."""
    one = stepper(method, data, scaler, replace(STEEP, momentum=momentum))
    for _ in range(count):
        one.step(batch(data))
    kept = {
        f"momentum {number}": buffer for number, state in state_of(one.optimizer).items() for buffer in state.values()
    }
    return method.learned() | kept


def steep(classifier: Classifier, factors: list[float]) -> Classifier:
    """The classifier with each seed's gradients times a factor of its own; its logits are those of the classifier."""

    def logits(image):
        found, factor = classifier(image), torch.tensor(factors)[:, None, None]
        return found.detach() + factor * (found - found.detach())

    return logits


def fitted(text, make, seeds, data, factors, **options):
    method = make(text, seeds)
    return method, fit(method, steep(method.for_classes(NAMES), factors), *data, TRAINING, precision="fp16", **options)


@pytest.mark.parametrize("momentum", [0.9, 0.0])
@MADE
@pytest.mark.slow
def test_overflows_before_the_first_update_leave_no_trace(text, make, data, monkeypatch, momentum):
    monkeypatch.setattr(scaling, "FIRST_SCALE", 2.0**30)
    fallen, count = SeedScaler(SEEDS, data[0].device), 25
    found = steps(make(text, SEEDS), data, fallen, count, momentum)
    for i, seed in enumerate(SEEDS):
        monkeypatch.setattr(scaling, "FIRST_SCALE", float(fallen.scale[i]))
        made = int(fallen.updates[i])
        assert 3 < made < count - 3  # the scale was far too high, and fell
        expected = steps(make(text, SEEDS), data, SeedScaler(SEEDS, data[0].device), made, momentum)
        for name, tensor in expected.items():
            if name.startswith("momentum"):
                assert torch.equal(found[name][i], tensor[i]), (seed, name)
            elif name.startswith(f"seed{seed}."):
                assert torch.equal(found[name], tensor), (seed, name)


def changing(one, parameter):
    """A parameter and the optimizer's tensors for it."""
    kept = one.optimizer.state[parameter].values()
    return [parameter.detach(), *(tensor for tensor in kept if tensor.shape == parameter.shape)]


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize("scale", [2.0**40, 0.0])
def test_skipped_steps_change_neither_tensors_nor_momentum(text, data, scale, optimizer):
    """In the middle of a training, where there is momentum to lose; nothing divided by a scale of 0 is finite."""
    for make in METHODS.values():
        method, scaler = make(text, SEEDS), SeedScaler(SEEDS, data[0].device)
        one = stepper(method, data, scaler, replace(STEEP, optimizer=optimizer))
        one.step(batch(data))
        before = {p: [tensor.clone() for tensor in changing(one, p)] for p in method.parameters()}
        scaler.scale[1] = scale
        one.step(batch(data))
        assert scaler.scale.tolist() == [1024, scale / 2 if scale > 1 else 0, 1024]
        assert (scaler.good.tolist(), scaler.updates.tolist()) == ([2, 0, 2], [2, 1, 2])
        for parameter, old in before.items():
            for now, was in zip(changing(one, parameter), old, strict=True):
                assert torch.equal(now[1], was[1])
                assert not torch.equal(now[0], was[0])
                assert not torch.equal(now[2], was[2])


@MADE
def test_together_equals_alone_while_one_overflows(text, make, data):
    factors = [1.0, 2.0**12, 1.0]
    together, done = fitted(text, make, SEEDS, data, factors)
    updates = done.scaler["updates"]
    assert updates[0] == updates[2] == 9 > updates[1] > 0
    assert done.scaler["scale"][0] == done.scaler["scale"][2] == 1024 > done.scaler["scale"][1]
    for i, seed in enumerate(SEEDS):
        part = data[0][i : i + 1], data[1][i : i + 1]
        alone, lone = fitted(text, make, (seed,), part, factors[i : i + 1])
        assert {name: values[i : i + 1] for name, values in done.scaler.items()} == lone.scaler
        for name, tensor in alone.learned().items():
            start = make(text, (seed,)).learned()[name]
            assert (together.learned()[name] - tensor).norm() <= 1e-2 * (tensor - start).norm(), name


def test_a_scale_grows_after_good_steps_in_a_row(monkeypatch):
    monkeypatch.setattr(scaling, "GOOD_STEPS", 3)
    scaler, seen = SeedScaler([1, 2, 3], torch.device("cpu")), []
    scaler.scale[2] = 2.0**126
    for step in range(7):
        scaler._learn(torch.tensor([True, step != 1, True]))
        seen.append(scaler.scale.tolist())
    assert [scale for scale, _, _ in seen] == [1024, 1024, 2048, 2048, 2048, 4096, 4096]
    assert [scale for _, scale, _ in seen] == [1024, 512, 512, 512, 1024, 1024, 1024]
    assert seen[-1][2] == 2.0**127  # and not infinite
    assert scaler.good.tolist() == [1, 2, 1]


@pytest.mark.parametrize("after", [1, 2])
def test_resumes_exactly(text, data, tmp_path, monkeypatch, after):
    """With a seed in the middle of its fall, one in a row of good steps and one whose scale has grown."""
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    monkeypatch.setattr(scaling, "GOOD_STEPS", 4)
    factors, make, path = [1.0, 2.0**14, 16.0], METHODS["cocoop"], tmp_path / "checkpoint.safetensors"
    whole, expected = fitted(text, make, SEEDS, data, factors)
    assert expected.scaler["scale"][0] > 1024 > expected.scaler["scale"][1]

    class Killed(Exception):
        pass

    first = make(text, SEEDS)
    keeper = Keeper(first, path, "views", TRAINING.epochs)

    def stop(done):
        keeper(done)
        if done.epochs == after:
            raise Killed

    with pytest.raises(Killed):
        fit(first, steep(first.for_classes(NAMES), factors), *data, TRAINING, precision="fp16", after_epoch=stop)
    second = make(text, SEEDS)
    done = resume(second, path, "views")
    assert done.epochs == after
    found = fit(second, steep(second.for_classes(NAMES), factors), *data, TRAINING, precision="fp16", done=done)
    assert (found.history, found.scaler) == (expected.history, expected.scaler)
    for name, tensor in whole.learned().items():
        assert torch.equal(tensor, second.learned()[name]), name


def test_seed_whose_unscaled_gradients_overflow_is_an_error(text, data, caplog):
    training = replace(TRAINING, epochs=5)  # three steps each
    method = METHODS["cocoop"](text, SEEDS)
    classifier = steep(method.for_classes(NAMES), [1.0, 2.0**60, 1.0])
    with pytest.raises(
        UserError,
        match="cocoop on x: seed 2 made no update in epoch 4, its gradients overflow fp16; "
        "its loss scale is now 0.25. Training stopped; take precision bf16 or fp32",
    ):
        fit(method, classifier, *data, training, precision="fp16", where="cocoop on x")
    warned = [record.getMessage() for record in caplog.records]
    assert [text.split(", its")[0] for text in warned] == [
        f"cocoop on x: seed 2 made no update in epoch {epoch}" for epoch in (1, 2, 3)
    ]


def test_training_without_any_update_is_an_error(text, data, monkeypatch):
    monkeypatch.setattr(scaling, "FIRST_SCALE", 2.0**60)
    with pytest.raises(UserError, match="seed 1 made no update in epoch 3, .* now 2.2518e.15. Training stopped"):
        fitted(text, METHODS["cocoop"], SEEDS, data, [1.0, 1.0, 1.0])


class WithNumber(CoOp):
    """A learned tensor (S,), which has the seeds as its first dimension and no other."""

    def __init__(self, task: Task) -> None:
        super().__init__(task, n_ctx=2, ctx_init=None, class_token_position="end", csc=False)
        self.factor = nn.Parameter(torch.ones(len(task.seeds)))

    def for_classes(self, classnames):
        classify = super().for_classes(classnames)
        return lambda image: self.factor[:, None, None] * classify(image)


def test_one_number_per_seed_is_a_learned_tensor_like_others(text, data):
    method, scaler = WithNumber(Task(text, SEEDS)), SeedScaler(SEEDS, data[0].device)
    one, start = stepper(method, data, scaler, STEEP), method.factor.detach().clone()
    scaler.scale[1] = 2.0**40
    one.step(batch(data))
    assert scaler.updates.tolist() == [1, 0, 1]
    assert (method.factor != start).tolist() == [True, False, True]
