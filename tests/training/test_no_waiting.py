"""No step of a training waits for the device: nothing on the host hangs on a value that a step computes.

Tensors on torch's `meta` device have a shape and no values, so whatever would wait for a value fails there, in the library's
own code too. It has no autocast; for that, every operation of a step on the CPU is looked at, those of the backward pass too.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cocoop.methods.base import Batch
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from cocoop.training import loop
from cocoop.training.scaling import SeedScaler
from tests.oracle import TOKENIZER, text_model
from tests.training.test_seeds_together import METHODS, NAMES, SEEDS, TRAINING, WITH_LOSSES
from tests.training.trained import fit, trainer

WAIT = (
    "_local_scalar_dense", "item", "is_nonzero", "nonzero", "nonzero_numpy", "equal", "masked_select", "unique", "_unique2",
    "unique_dim", "unique_consecutive", "repeat_interleave", "bincount", "allclose", "lift_fresh",
)  # fmt: skip
"""aten's operations that need values on the host; `lift_fresh` is a tensor made of numbers of the host, which is copied."""


class Watched(TorchDispatchMode):
    """Fails at an operation that would wait for a GPU, were the tensors there."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = function.overloadpacket.__name__
        self.seen.add(name)
        assert name not in WAIT, f"{name} waits for the device"
        if name == "_to_copy":
            assert (kwargs or {}).get("device") in (None, args[0].device), "a copy waits for its other device"
        if name in ("index", "index_put", "index_put_"):
            assert not any(at is not None and at.dtype == torch.bool for at in args[1]), (
                "a mask as index counts its trues"
            )
        return function(*args, **(kwargs or {}))


def text_side(precision: str, device: str = "cpu", budget_mb: int = 100) -> TextEncoder:
    torch.manual_seed(0)
    tower = TextTower.from_open_clip(text_model(64, 3, 4, embed=64), TOKENIZER.sot, TOKENIZER.eot)
    return TextEncoder.fast(tower.in_precision(precision).to(device), budget_mb)


def data(device: str = "cpu"):
    draw = torch.Generator().manual_seed(4)
    labels = torch.randint(len(NAMES), (len(SEEDS), 12), generator=draw)
    return torch.randn(len(SEEDS), 2, 12, 64, generator=draw).to(device), labels.to(device)


@pytest.mark.parametrize("budget_mb", [100, 0], ids=["at once", "in pieces"])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("make", METHODS.values(), ids=METHODS)
@pytest.mark.slow
def test_a_training_runs_where_there_are_no_values(make, scaled, budget_mb, monkeypatch):
    monkeypatch.setattr(loop.Trainer, "_record", lambda *epoch: None)  # once an epoch, the loop waits in these two
    monkeypatch.setattr(SeedScaler, "after_epoch", lambda *epoch: {})
    if scaled:  # fp16 without autocast
        monkeypatch.setattr(loop, "AUTOCAST", {})
    method, steps = make(text_side("fp32", "meta", budget_mb), SEEDS), []
    classifier = method.for_classes(NAMES)

    def counted(image):
        steps.append(image.device.type)
        return classifier(image)

    fit(method, counted, *data("meta"), TRAINING, precision="fp16" if scaled else "fp32")
    assert steps == ["meta"] * 3 * TRAINING.epochs


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16", "reference-fp16"])
@pytest.mark.parametrize("make", (METHODS | WITH_LOSSES).values(), ids=METHODS | WITH_LOSSES)
def test_no_operation_of_a_step_waits(make, precision):
    method, (features, labels) = make(text_side(precision), SEEDS), data()
    one = trainer(method, method.for_classes(NAMES), (features, labels), TRAINING, precision=precision)
    batch = Batch(features[:, 0].to(method.text.dtype), labels)
    one.step(batch)
    with Watched() as watched:
        losses, _ = one.step(batch)
    assert losses["cross_entropy"].isfinite().all()
    assert watched.seen > {
        "_log_softmax",
        "_log_softmax_backward_data",
        "_foreach_add_",
    }  # forward, backward, optimizer


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.isnan().any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: torch.tensor([1.0, 2.0]) * x.sum(),
    ],
)
def test_the_watch_sees_what_waits(wait):
    with pytest.raises(AssertionError, match="waits|counts"), Watched():
        wait(torch.ones(3, requires_grad=True))
    x = torch.ones(3, requires_grad=True)
    hooked = 2 * x
    hooked.register_hook(lambda gradient: wait(gradient) and None)
    with pytest.raises(AssertionError, match="waits|counts"), Watched():
        hooked.sum().backward()


@pytest.mark.parametrize(
    "wait", [lambda x: x.cpu(), lambda x: x.tolist(), lambda x: float(x.sum()), lambda x: x[x > 0]]
)
def test_meta_has_no_values(wait):
    with pytest.raises((RuntimeError, NotImplementedError)):
        wait(torch.ones(3, device="meta"))
