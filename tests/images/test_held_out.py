"""Training images held out to select on: one of each class, with its copies, by a draw of each seed's own."""

import pytest
import torch

from cocoop.errors import UserError
from cocoop.images.cached import Cached
from cocoop.images.held_out import hold_one_out
from cocoop.images.inputs import TrainingImages, Unequal
from cocoop.images.views import Selected


def few_shot(labels: list[list[int]], originals: list[list[int]] | None = None) -> tuple:
    """Images whose features (S, V, N, 1) and plain features (S, N, 1) say which they are, and the places of first copies."""
    found = torch.tensor(labels)
    plain = torch.arange(found.numel(), dtype=torch.float32).view(*found.shape, 1)
    source = Cached(torch.stack([plain + 100, plain + 200], 1))
    images = TrainingImages(source, found, ("a", "b", "c"), {}, source, second=source.second())
    own = torch.arange(found.shape[1]).expand_as(found)
    return images, plain, own if originals is None else torch.tensor(originals)


def held_out(labels, seeds, originals=None) -> TrainingImages:
    images, plain, places = few_shot(labels, originals)
    return hold_one_out(images, plain, seeds, places)


def alone(labels, index: int, seed: int) -> TrainingImages:
    images, plain, places = few_shot(labels)
    return hold_one_out(images.of_seed(index), plain[[index]], (seed,), places[[index]])


def test_takes_one_image_of_each_class_with_several():
    labels = [[0, 0, 1, 1, 1, 2], [0, 0, 1, 1, 1, 2]]
    (images, plain, _), held = few_shot(labels), held_out(labels, (1, 2))
    features, found = held.validation
    assert found.sort(1).values.tolist() == [[0, 1], [0, 1]]
    assert held.labels.sort(1).values.tolist() == [[0, 1, 1, 2]] * 2
    for seed in range(2):
        out, rest = features[seed, :, 0], held.source.features[seed, :, :, 0]
        assert sorted([*out.tolist(), *(rest[0] - 100).tolist()]) == plain[seed, :, 0].tolist()
        assert torch.equal(rest[0] + 100, rest[1])
        assert torch.equal(images.labels[seed, (out - 6 * seed).long()], found[seed])
    assert held.frozen is held.source and held.source.images == 4


def test_the_second_view_is_of_the_same_images():
    held = held_out([[0, 0, 1, 1]], (1,))
    everything = {"visit": torch.arange(2)[None], "size": 2, "steps": 1}
    (first,), (second,) = (source.batches(0, **everything) for source in (held.source, held.second))
    assert torch.equal(first + 100, second)


def test_a_seed_does_not_depend_on_the_others():
    labels = [[0] * 4 + [1] * 4] * 3
    together = held_out(labels, (1, 2, 3))
    for index, seed in enumerate((1, 2, 3)):
        assert torch.equal(alone(labels, index, seed).validation[0][0], together.validation[0][index])
    assert len({tuple((f[:, 0] - 8 * i).tolist()) for i, f in enumerate(together.validation[0])}) > 1


@pytest.mark.parametrize(
    "labels",
    [
        [[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 0, 1], [0, 0, 0, 1, 1, 2]],  # 3, 1 and 2 held out: 6 in all, as if 2 of each
        [[0, 0, 1, 1, 2, 2], [0, 0, 0, 0, 1, 1], [0, 0, 0, 1, 1, 2]],
    ],
)
def test_seeds_with_different_numbers_are_never_mixed(labels):
    with pytest.raises(Unequal):
        held_out(labels, (1, 2, 3))
    for index, number in enumerate([3, 1, 2] if labels[1][4] == 0 else [3, 2, 2]):
        features, found = alone(labels, index, index + 1).validation
        assert features.shape[1] == number == len(set(found[0].tolist()))
        assert all(6 * index <= which < 6 * (index + 1) for which in features[0, :, 0].tolist())


def test_a_held_out_image_leaves_no_copy_in_the_training():
    """Class 0 has two images, one of them three times; class 1 has copies of a single image, and keeps them."""
    labels, originals = [0, 0, 0, 0, 1, 1], [0, 0, 2, 0, 4, 4]
    sizes = set()
    for seed in range(1, 9):
        held = held_out([labels], (seed,), [originals])
        out, rest = held.validation[0][0, :, 0].int().tolist(), (held.source.features[0, 0, :, 0] - 100).int().tolist()
        assert not {originals[place] for place in out} & {originals[place] for place in rest}
        assert sorted(out + rest) == list(range(6)) and {4, 5} <= set(rest)
        sizes.add(len(out))
    assert sizes == {1, 3}


def test_copies_are_known_by_their_paths():
    assert Selected(("a", "b", "a", "c", "b", "a"), (0, 0, 0, 1, 1, 1)).originals == [0, 1, 0, 3, 1, 0]


@pytest.mark.parametrize("originals", [None, [[0, 0, 0]]])
def test_nothing_to_hold_out_is_one_line(originals):
    labels = [[0, 1, 2]] if originals is None else [[0, 0, 0]]
    with pytest.raises(UserError, match="hold_one_out: no class has two images in the draw of seed 5; take more shots"):
        held_out(labels, (5,), originals)
