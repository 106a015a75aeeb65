"""Classifiers whose text features do not depend on the image."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor

from cocoop.errors import UserError, shown
from cocoop.methods.base import unit

_HELD: ContextVar[dict[Callable[[], Tensor], Tensor] | None] = ContextVar("held", default=None)


@contextmanager
def holding() -> Iterator[None]:
    """A block in which no tensor changes, so that every `held` function is computed only once."""
    token = _HELD.set({})
    try:
        yield
    finally:
        _HELD.reset(token)


def held(compute: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """The function with a cached result inside a `holding` block; elsewhere, every call computes it."""

    def found() -> Tensor:
        kept = _HELD.get()
        if kept is None:
            return compute()
        if found not in kept:
            kept[found] = compute()
        return kept[found]

    return found


class SharedText:
    """A classifier by cosine similarity to text features (S or 1, C, E) that do not depend on the image.

    features: computes them, not normalised; the attribute `raw` gives them so, and `features` normalised.
    image: the image features (S, B, E) of the classifier's inputs, for a method that changes the image tower or the features.
    """

    def __init__(
        self, features: Callable[[], Tensor], scale: float, image: Callable[[Tensor], Tensor] = lambda inputs: inputs
    ) -> None:
        self.raw, self.scale, self.image = held(features), scale, image
        self.features = held(lambda: unit(self.raw()))

    def __call__(self, inputs: Tensor) -> Tensor:
        return self.logits(self.image(inputs), self.features())

    def logits(self, image_features: Tensor, text: Tensor) -> Tensor:
        """Logits (S, B, C) with given unit text features (S or 1, C, E), for losses that use the features too."""
        return self.scale * unit(image_features) @ text.to(image_features.dtype).mT


def refuse_other_classes(what: str, trained_on: Sequence[str], asked: Sequence[str]) -> None:
    """Raises a UserError unless class-bound tensors were learned for exactly these class names in the same order.

    Comparing the numbers of classes is not enough: base and new classes are equally many, and any accuracy would look plausible.
    """
    if tuple(trained_on) == tuple(asked):
        return
    first = next((pair for pair in zip(trained_on, asked, strict=False) if pair[0] != pair[1]), None)
    differ = f"; the first that differs: {shown(first[1])}, learned was {shown(first[0])}" if first else ""
    raise UserError(
        f"{what} of {len(trained_on)} classes cannot classify {len(asked)} others{differ}; "
        "test on the classes trained on."
    )
