"""DePT's second head knows which of the classes trained on it is asked for, also of those with the same name."""

import pytest
import torch

from cocoop import methods
from cocoop.evaluation.predict import comparable
from cocoop.methods.base import Task
from cocoop.methods.dept import Both, places_of
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests.oracle import TOKENIZER, text_model
from tests.runs import run_of

NAMES = ("missile", "cat", "missile", "dog", "sunglasses", "sunglasses")  # as some of ImageNet's are called twice


@pytest.fixture(scope="module")
def dept():
    torch.manual_seed(0)
    text = TextEncoder.fast(TextTower.from_open_clip(text_model(32, 2, 2), TOKENIZER.sot, TOKENIZER.eot))
    return methods.build(run_of("dept"), Task(text, (1, 2), NAMES, ("a photo of a {}.",), "a photo of a {}."))


def test_each_class_has_its_own_row_of_the_head(dept):
    image = torch.randn(2, 5, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        both = dept.for_classes(NAMES)
        of_head, found = dept.head.linear(dept.head.image(image)), both(image)
        similarity = both.logits(image, both.features())
    torch.testing.assert_close(found, (1 - dept.share) * similarity + dept.share * of_head)
    assert not torch.allclose(found[..., 0], found[..., 2]) and not torch.allclose(found[..., 4], found[..., 5])


def test_places_of_some_classes():
    assert places_of(NAMES, NAMES) == [0, 1, 2, 3, 4, 5]
    assert places_of(["dog", "sunglasses", "missile", "sunglasses"], NAMES) == [3, 4, 0, 5]


def test_a_name_asked_for_more_often_than_trained_on_is_another_class(dept):
    assert isinstance(dept.for_classes(["dog", "cat"]), Both)
    other = dept.for_classes(["dog", "dog"])
    assert not isinstance(other, Both) and not comparable(dept.for_classes(NAMES), other)
