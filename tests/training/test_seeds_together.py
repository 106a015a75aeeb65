"""Several seeds of one variant trained in one batch are the runs they would have been alone."""

import pytest
import torch

from cocoop.config.specs import TrainingSpec
from cocoop.methods.base import Task
from cocoop.methods.cocoop import CoCoOp
from cocoop.methods.coop import CoOp
from cocoop.methods.tcp import TCP
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.training.trained import fit

SEEDS = (1, 2, 3)
NAMES = ["cat", "wild cat", "german shorthaired pointer", "face", "tree frog", "2012 Tesla Model S Sedan"]
TRAINING = TrainingSpec(
    epochs=3, batch_size=4, lr=0.02, warmup_epochs=1, warmup_lr=1e-5, momentum=0.9, weight_decay=0.0005
)
METHODS = {
    "coop": lambda text, seeds: CoOp(Task(text, seeds), n_ctx=4, ctx_init=None, class_token_position="end", csc=False),
    "coop specific": lambda text, seeds: CoOp(
        Task(text, seeds, tuple(NAMES)), n_ctx=2, ctx_init=None, class_token_position="middle", csc=True
    ),
    "cocoop": lambda text, seeds: CoCoOp(Task(text, seeds), n_ctx=4, ctx_init="a photo of a", reduction=4),
}
WITH_LOSSES = {  # their losses take more from the classifier than logits
    "tcp": lambda text, seeds: TCP(
        Task(text, seeds, tuple(NAMES), ("a photo of a {}.",), "a photo of a {}."), n_ctx=4, ctx_init=None,
        inject_before_block=1, inject_weight=0.5, weight=8.0, reduction=4, student_templates={},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def text():
    torch.manual_seed(0)
    return TextEncoder.fast(TextTower.from_open_clip(text_model(64, 3, 4, embed=64), TOKENIZER.sot, TOKENIZER.eot))


def trained(text, make, seeds, features, labels):
    method = make(text, seeds)
    done = fit(method, method.for_classes(NAMES), features, labels, TRAINING)
    return method.learned(), {row["seed"]: row for row in done.history if row["epoch"] == TRAINING.epochs}


@pytest.mark.parametrize("make", (METHODS | WITH_LOSSES).values(), ids=METHODS | WITH_LOSSES)
def test_together_equals_alone(text, make):
    draw = torch.Generator().manual_seed(4)
    features = torch.randn(len(SEEDS), 2, 12, 64, generator=draw)  # every seed has its own few-shot images
    labels = torch.randint(len(NAMES), (len(SEEDS), 12), generator=draw)
    together, history = trained(text, make, SEEDS, features, labels)
    start, parameters = make(text, SEEDS).learned(), {*make(text, SEEDS).learned_parameters()}
    assert parameters
    for i, seed in enumerate(SEEDS):
        alone, row = trained(text, make, (seed,), features[i : i + 1], labels[i : i + 1])
        assert alone.keys() == {name for name in together if name.startswith(f"seed{seed}.")}
        for name, tensor in alone.items():
            assert (together[name] - tensor).norm() <= 1e-5 * tensor.norm()
            if name.partition(".")[2] in parameters:  # tensors of `keep` may stay
                moved = (tensor - start[name]).norm()
                assert moved > 1e-3 * tensor.norm()
                assert (together[name] - tensor).norm() <= 1e-3 * moved
        assert history[seed]["loss"] == pytest.approx(row[seed]["loss"], rel=1e-5)
