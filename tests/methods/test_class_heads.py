"""Classifiers of image features among the classes trained on: classes without an image, and half precision."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from cocoop import methods
from cocoop.methods.base import FewShot, Task
from cocoop.methods.class_head import ClassHead
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.methods.test_adapters import PARAMS, data
from tests.methods.test_methods import VARIANTS
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of

NAMES = ("cat", "dog", "fish")
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
HEADS = [
    name for name, spec in VARIANTS.items() if issubclass(methods.find(spec.implementation, spec.method), ClassHead)
]
BY_ITSELF = {name for name, spec in VARIANTS.items() if spec.learns == "by_itself"}


def build(name: str, precision: str = "fp32", seeds=(1, 2, 3)) -> ClassHead:
    torch.manual_seed(0)
    tower = TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot).in_precision(precision)
    run = run_of(name)
    run = run_of(name, params={**run.params, **PARAMS.get(name, {})})
    return methods.build(run, Task(TextEncoder.fast(tower), seeds, NAMES, ("a photo of a {}.",)))


def logits(method: ClassHead, images: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return method.for_classes(NAMES)(images)


@pytest.mark.parametrize("precision", DTYPES)
@pytest.mark.parametrize("name", HEADS)
def test_a_test_computes_what_the_selection_computed(name, precision):
    """The selection is outside autocast, the test inside."""
    assert set(HEADS) >= BY_ITSELF
    method, (features, labels, val, val_labels) = build(name, precision), data()
    method.fit(FewShot(features, labels, val, val_labels))
    expected = logits(method, val)
    with torch.autocast("cpu", DTYPES[precision]):
        found = logits(method, val)
    assert found.dtype == torch.float32 and torch.equal(found, expected)


@pytest.mark.parametrize("present", [[0], [2], [0, 2], [1, 2], [0, 1, 2]])
@pytest.mark.parametrize("name", HEADS)
def test_classes_without_an_image_leave_the_others_alone(name, present):
    """As label noise may leave them."""
    features, _, val, val_labels = data()
    labels = torch.tensor(present).repeat(12)[:12].expand(3, -1)
    method = build(name)
    method.fit(FewShot(features, labels, val, val_labels))
    found = logits(method, features[:, 0])
    assert torch.isfinite(found).all() and torch.isfinite(found.half()).all()
    if name.startswith("linear_probe"):  # the others know classes by their names, too
        assert set(found.argmax(-1).unique().tolist()) <= set(present)


@pytest.mark.parametrize("present", [[0, 2], [1, 2], [0, 1, 2]])
def test_the_linear_probe_has_the_probabilities_of_scikit_learn(present):
    features, *_ = data()
    labels = torch.tensor(present).repeat(12)[:12].expand(3, -1)
    method = build("linear_probe")
    method.fit(FewShot(features, labels))
    found = logits(method, features[:, 0]).softmax(-1)
    for seed in range(3):
        images, truth = features[seed].flatten(0, 1).numpy(), labels[seed].repeat(2).numpy()
        theirs = LogisticRegression(C=method.fixed, max_iter=1000).fit(images, truth)
        expected = np.zeros((12, 3))
        expected[:, theirs.classes_] = theirs.predict_proba(features[seed, 0].numpy())
        np.testing.assert_allclose(found[seed].numpy(), expected, atol=1e-4)


def test_a_single_class_of_several_leaves_nothing_to_choose():
    features, _, val, val_labels = data()
    method = build("linear_probe_val")
    method.fit(FewShot(features, torch.ones(3, 12, dtype=torch.long), val, val_labels))
    assert {chosen["C"] for chosen in method.chosen().values()} == {method.fixed}
    assert logits(method, val).argmax(-1).eq(1).all()
