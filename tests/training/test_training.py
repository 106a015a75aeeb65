"""Training: order, schedule, checkpoints, resuming, and what stops it."""

from dataclasses import replace

import pytest
import torch

from cocoop.config import TrainingSpec
from cocoop.device import deterministic
from cocoop.errors import UserError
from cocoop.methods.base import Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training.checkpoint import Keeper, resume
from cocoop.training.schedule import Schedule, batches, shuffled
from tests.oracle import TOKENIZER, text_model
from tests.training.trained import fit

NAMES = ["cat", "dog", "fish"]
TRAINING = TrainingSpec(
    epochs=4, batch_size=2, lr=0.01, warmup_epochs=1, warmup_lr=1e-5, momentum=0.9, weight_decay=5e-4
)


@pytest.fixture
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))


def cocoop(text, seeds=(1, 2)):
    return CoCoOp(Task(text, tuple(seeds)), n_ctx=2, ctx_init=None, reduction=4)


def data():
    generator = torch.Generator().manual_seed(5)
    return torch.randn(2, 3, 6, 32, generator=generator), torch.arange(6).remainder(3).expand(2, -1)


def test_incomplete_batches_are_dropped_unless_alone():
    assert batches(80, 32) == 2
    assert batches(31, 32) == 1
    assert batches(64, 32) == 2


def test_order_depends_on_seed_and_epoch_alone():
    assert torch.equal(shuffled(1, 0, 50), shuffled(1, 0, 50))
    assert not torch.equal(shuffled(1, 0, 50), shuffled(1, 1, 50))
    assert not torch.equal(shuffled(1, 0, 50), shuffled(2, 0, 50))
    assert sorted(shuffled(3, 7, 50).tolist()) == list(range(50))


def test_epochs_take_the_views_in_turn(text):
    features, labels = torch.randn(2, 3, 6, 32, generator=torch.Generator().manual_seed(5)), data()[1]
    method, seen = cocoop(text), []
    classifier = method.for_classes(NAMES)

    def noted(image):
        seen.append(image)
        return classifier(image)

    fit(method, noted, features, labels, TRAINING)
    steps = [(epoch, 2 * step) for epoch in range(4) for step in range(3)]
    for (epoch, first), images in zip(steps, seen, strict=True):
        for i, seed in enumerate(method.seeds):
            chosen = shuffled(seed, epoch, 6)[first : first + 2]
            assert torch.equal(images[i], features[i, epoch % 3, chosen])


def test_one_epoch_trains_at_the_warm_up_rate():
    assert Schedule(TrainingSpec(1, 1, 0.002, 1, 1e-5, 0.9, 5e-4), 4).rate(0, 3) == 1e-5


def test_interrupted_training_ends_with_the_same_bytes(text, tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    features, labels = data()
    whole = cocoop(text)
    expected = fit(whole, whole.for_classes(NAMES), features, labels, TRAINING)
    path = tmp_path / "checkpoint.safetensors"

    class Killed(Exception):
        pass

    first = cocoop(text)
    keeper = Keeper(first, path, "views", 4)

    def stop_after_two(done):
        keeper(done)
        if done.epochs == 2:
            raise Killed

    with pytest.raises(Killed):
        fit(first, first.for_classes(NAMES), features, labels, TRAINING, after_epoch=stop_after_two)
    second = cocoop(text)
    done = resume(second, path, "views")
    assert done.epochs == 2
    found = fit(second, second.for_classes(NAMES), features, labels, TRAINING, done=done)
    assert found.history == expected.history
    for name, tensor in whole.learned().items():
        assert torch.equal(tensor, second.learned()[name]), name


def test_without_momentum(text, tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    features, labels = data()
    method, path = cocoop(text), tmp_path / "checkpoint.safetensors"
    before = method.learned()["seed1.ctx"].clone()
    plain = replace(TRAINING, momentum=0.0)
    fit(method, method.for_classes(NAMES), features, labels, plain, after_epoch=Keeper(method, path, "views", 4))
    assert not torch.equal(method.learned()["seed1.ctx"], before)
    assert resume(cocoop(text), path, "views").optimizer == {}


def test_first_step_says_what_is_not_deterministic(caplog):
    tried = []

    def step():
        tried.append(torch.is_deterministic_algorithms_warn_only_enabled())
        if not tried[-1]:
            raise RuntimeError("attention does not have a deterministic implementation, but you asked. More words.")
        return "done"

    assert deterministic(step, "train x on y") == "done"
    assert tried == [False, True]
    assert "train x on y: the last digits may differ between runs (attention does not have" in caplog.text
    with pytest.raises(RuntimeError, match="another"):
        deterministic(lambda: (_ for _ in ()).throw(RuntimeError("another")), "x")


def test_checkpoint_of_other_views_or_damaged_is_not_used(text, tmp_path, monkeypatch):
    monkeypatch.setattr("cocoop.training.checkpoint.SECONDS_BETWEEN", 0)
    features, labels = data()
    method, path = cocoop(text), tmp_path / "checkpoint.safetensors"
    keeper = Keeper(method, path, "views", 4)
    fit(method, method.for_classes(NAMES), features, labels, TRAINING, after_epoch=keeper)
    assert resume(cocoop(text), path, "views").epochs == TRAINING.epochs
    assert resume(cocoop(text), path, "other views").epochs == 0
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert resume(cocoop(text), path, "views").epochs == 0
    assert resume(cocoop(text), tmp_path / "none", "views").epochs == 0


def test_loss_that_is_not_finite_stops_and_names_the_step(text):
    features, labels = data()
    features[1, 0, :] = float("nan")
    method = cocoop(text)
    with pytest.raises(UserError, match="train x on y: the loss of seed 2 is nan in epoch 1, step 1") as stopped:
        fit(method, method.for_classes(NAMES), features, labels, TRAINING, where="train x on y")
    assert str(stopped.value).endswith("precision fp32. With seeds_per_job: 1 the other seeds train without it.")
    alone = cocoop(text, seeds=[2])
    with pytest.raises(UserError, match=r"precision fp32\.$"):
        fit(alone, alone.for_classes(NAMES), features[1:], labels[1:], TRAINING)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast_keeps_learned_tensors_in_single_precision(text, precision):
    features, labels = data()
    exact, found = cocoop(text), cocoop(text)
    fit(exact, exact.for_classes(NAMES), features, labels, TRAINING)
    fit(found, found.for_classes(NAMES), features, labels, TRAINING, precision=precision)
    for (name, a), (_, b) in zip(exact.named_parameters(), found.named_parameters(), strict=True):
        assert b.dtype == torch.float32
        assert (a - b).norm() <= 0.05 * a.norm(), name
