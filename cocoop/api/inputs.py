"""What a classifier is given: class names that make sense, and pictures as features or pixels."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from cocoop.api import pictures
from cocoop.api.recipe import Recipe
from cocoop.api.towers import Towers
from cocoop.backbone.local import local_encoder
from cocoop.backbone.model import Backbone
from cocoop.errors import UserError, listed, shown
from cocoop.images.extraction import BATCH_SIZE

LOCAL = "local_features"


class Inputs(NamedTuple):
    """A batch for the classifier: the places of its pictures, and features (n, E), local ones (n, 1 + L, E), or pixels.

    tokens: features per picture: 1, or 1 + L.
    """

    places: list[int]
    values: Tensor
    tokens: int

    @property
    def of_image(self) -> Tensor:
        """Without local features."""
        return self.values if self.tokens == 1 else self.values[:, 0]


def names_of(classnames: Sequence[str], trained: Sequence[str] = ()) -> tuple[str, ...]:
    """The class names asked for. Raises a UserError for none, for others than texts, and for the same name twice.

    trained: the names trained on, which are taken as they are: ImageNet's list has two names twice.
    """
    if isinstance(classnames, str):
        raise UserError(f"classnames: expected a list of names, got the text {shown(classnames)}.")
    names = tuple(classnames)
    if not names:
        raise UserError("classnames: give at least one class name; nothing was trained, so there is no default.")
    if odd := [name for name in names if not isinstance(name, str) or not name.strip()]:
        raise UserError(f"classnames: {shown(odd[0])} is not a class name.")
    if len(set(names)) < len(names) and names != tuple(trained):
        raise UserError(f"classnames: listed twice: {listed(sorted({n for n in names if names.count(n) > 1}))}.")
    return names


def inputs_of(
    recipe: Recipe, towers: Towers, asked: Sequence[pictures.Picture], unreadable: pictures.Unreadable | None
) -> Iterator[Inputs]:
    """The pictures in batches; unreadable: as of `pictures.crops`."""
    image, like = towers.image, towers.text.table
    encode = _encoder(recipe, image)
    for crops in pictures.crops(asked, image.preprocessing, BATCH_SIZE, recipe.on_white, unreadable):
        values = encode(image.preprocessing.normalise(torch.from_numpy(crops.pixels).to(image.device)))
        if recipe.inputs != "images":
            values = values.to(like.dtype)
        yield Inputs(crops.places, values, values.shape[1] if LOCAL in recipe.needs else 1)


def _encoder(recipe: Recipe, image: Backbone) -> Callable[[Tensor], Tensor]:
    """From normalised pixels to the inputs of the classifier, as the features stage computes and stores them."""
    if recipe.inputs == "images":
        return lambda pixels: pixels
    if LOCAL in recipe.needs:
        encoder = local_encoder(image)
        return lambda pixels: encoder(pixels).half()
    return image.encode_images
