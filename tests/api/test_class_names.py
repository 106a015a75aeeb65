"""Class names that were trained on, even twice, and class names from a file."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import cocoop
from cocoop.api import official
from cocoop.api.prompt import Prompt
from cocoop.cli import main
from cocoop.errors import UserError
from tests.api.conftest import line_of, train

TWICE = ("crane", "dog", "missile", "missile", "cat")


def renamed(prompt: Prompt, names=TWICE) -> Prompt:
    """The prompt as if it had been trained on classes of these names."""
    return Prompt(replace(prompt.recipe, classnames=names), prompt.towers, prompt.tensors, "renamed")


def test_a_name_trained_on_twice_is_two_classes(prompt, digits):
    pictures, _, _ = digits.of("base", 4)
    twice = renamed(prompt)
    for names in (None, TWICE, list(TWICE)):
        found = twice.predict(pictures, names)
        assert found.classnames == TWICE and found.probabilities.shape == (4, 5)
        assert np.array_equal(found.probabilities[:, 2], found.probabilities[:, 3])
        assert found.labels == [TWICE[best] for best in found.probabilities.argmax(1)]
        assert len(found.table(5)) == 20
    assert twice.logits(pictures).shape == (4, 5) and len(twice.text_features()) == 5
    for names in (["missile", "missile"], TWICE[::-1]):
        with pytest.raises(UserError) as error:
            twice.predict(pictures, names)
        assert line_of(error) == "classnames: listed twice: missile."


def test_class_specific_contexts_tell_classes_of_one_name_apart(digits, tmp_path):
    learned = train(digits, tmp_path, "coop", params={"csc": True}, shots=1, training={"epochs": 1})
    probabilities = renamed(learned).predict(digits.of("base", 4)[0]).probabilities
    assert not np.array_equal(probabilities[:, 2], probabilities[:, 3])


@pytest.mark.parametrize("given", [True, False])
def test_a_checkpoint_may_have_a_name_twice(given, prompt, digits, tmp_path):
    names = ("red circle", "blue square", "red circle", "digit zero", "digit one")
    twice = renamed(prompt, names)
    file, _ = official.write(twice, tmp_path)
    again = cocoop.load(file, backbone="tiny", classnames=names if given else None, device="cpu")
    assert again.classnames == names
    pictures, _, _ = digits.of("base", 4)
    assert torch.equal(again.logits(pictures), twice.logits(pictures))
    wrong = ("blue square", *names[1:])
    with pytest.raises(UserError, match="class 1 is 'red circle' there, 'blue square' is given"):
        cocoop.load(file, backbone="tiny", classnames=wrong, device="cpu")


def test_a_file_of_names_may_have_a_byte_order_mark(digits, capsys, tmp_path):
    [picture], _, _ = digits.of("base", 1)
    (tmp_path / "names.txt").write_bytes("\ufeffcat\r\ntwo\u2028lines\r\n".encode())
    words = ("predict", picture, "--backbone", "tiny", "--classes-file", tmp_path / "names.txt", "--device", "cpu")
    assert main([*map(str, words), "--top", "2", "--format", "csv", "--out", str(tmp_path / "found.csv")]) == 0
    rows = (tmp_path / "found.csv").read_text(encoding="utf-8").split("\n")[1:]
    assert {row.split(",")[2] for row in rows if row} == {"cat", "two\u2028lines"}
