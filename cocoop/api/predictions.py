"""What a prompt says about pictures: probabilities of all classes, and the best of them."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from cocoop.errors import UserError


class Guess(NamedTuple):
    """A class and its probability (0..1)."""

    label: str
    probability: float


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions for N pictures among C classes. A notebook shows the five best classes of each picture.

    Attributes:
        pictures: names of the N pictures: their paths, or `picture 1`, `picture 2`, ...
        classnames: the C class names. Two may be equal, if they were trained on; each has its column.
        probabilities: (N, C), float32; each row sums to 1.
    """

    pictures: tuple[str, ...]
    classnames: tuple[str, ...]
    probabilities: np.ndarray

    @property
    def labels(self) -> list[str]:
        """The most probable class of each picture."""
        return [self.classnames[best] for best in self.probabilities.argmax(1)]

    def top(self, k: int = 5) -> list[list[Guess]]:
        """The k most probable classes of each picture, the best first; equal ones in the order of the class names."""
        if not isinstance(k, int) or k < 1:
            raise UserError(f"top: expected an integer >= 1, got {k!r}.")
        order = np.argsort(-self.probabilities, axis=1, kind="stable")[:, :k]
        return [
            [Guess(self.classnames[c], float(row[c])) for c in best]
            for row, best in zip(self.probabilities, order, strict=True)
        ]

    def table(self, k: int = 1) -> pd.DataFrame:
        """One row per picture and guess: picture, rank (from 1), label, probability."""
        rows = [
            (name, rank, guess.label, guess.probability)
            for name, guesses in zip(self.pictures, self.top(k), strict=True)
            for rank, guess in enumerate(guesses, 1)
        ]
        return pd.DataFrame(rows, columns=["picture", "rank", "label", "probability"])

    def __len__(self) -> int:
        return len(self.pictures)

    def __iter__(self) -> Iterator[Guess]:
        """The best guess for each picture."""
        return (guesses[0] for guesses in self.top(1))

    def __repr__(self) -> str:
        return f"Predictions of {len(self)} pictures among {len(self.classnames)} classes\n{self.table(1).to_string()}"

    def _repr_html_(self) -> str:
        rows = "".join(_row(name, best) for name, best in zip(self.pictures, self.top(5), strict=True))
        return f"<table>{rows}</table>"


def _row(name: str, guesses: Sequence[Any]) -> str:
    cells = "".join(f"<td>{html.escape(guess.label)} {guess.probability:.1%}</td>" for guess in guesses)
    return f"<tr><th>{html.escape(name)}</th>{cells}</tr>"
