"""A run: everything that decides its numbers, as one immutable value whose canonical form is its identity.

Planning makes runs, paths are named after them, the command line carries them as JSON, and every file that a run leaves
(checkpoint, learned tensors, metrics) holds the run it belongs to.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any

from pydantic import ConfigDict, TypeAdapter, ValidationError

from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.errors import UserError
from cocoop.io import canonical_json, identity

MOST_SEEDS_SHOWN = 5  # in a path


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in a form short enough for a path: 1-2-3, or 1-to-100x100 for the first, the last and their number."""
    if len(seeds) <= MOST_SEEDS_SHOWN:
        return "-".join(map(str, seeds))
    return f"{seeds[0]}-to-{seeds[-1]}x{len(seeds)}"


@dataclass(frozen=True)
class Run:
    """One training (or untrained classifier) for a block of seeds; all but the seed is the same.

    Attributes:
        backbone: the frozen model; its label takes no part in the identity.
        dataset: the dataset trained on.
        data: digest of the settings that decide the dataset's images, labels and class names.
        subset: the classes trained on: all, base or new.
        templates: hand-crafted prompts of the dataset, empty for a method that does not use them.
        descriptions: digest of the dataset's class descriptions, None for a method that does not use them.
        variant: name of the method's variant.
        method: name of the method's file in config/methods.
        implementation: "module:Class".
        version: raised by hand when shared code changes the method's numbers.
        code: digest of the method's own source code.
        inputs: features (cached) or images (live pixels).
        stacked: whether all seeds train in one batch or in turn.
        needs: what else the method asks for (workflow/schemas/method.schema.yaml).
        params: keyword arguments of the class.
        training: settings of gradient training, None without it.
        views: V, augmented views per image; 0 for the images as they are.
        shots: images per class.
        seeds: one few-shot draw and one set of learned tensors each.
    """

    backbone: BackboneSpec
    dataset: str
    data: str
    subset: str
    templates: tuple[str, ...]
    descriptions: str | None
    variant: str
    method: str
    implementation: str
    version: int
    code: str
    inputs: str
    stacked: bool
    needs: tuple[str, ...]
    params: Mapping[str, Any]
    training: TrainingSpec | None
    views: int
    shots: int
    seeds: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that decides the numbers."""
        content = {part.name: getattr(self, part.name) for part in fields(self)}
        training = None if self.training is None else asdict(self.training)
        return content | {"backbone": self.backbone.settings, "training": training}

    def to_json(self) -> str:
        """The canonical form: equal runs give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Run":
        """The run of `to_dict`; a UserError that names the first key that does not fit."""
        return _parsed(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of the canonical form, as it appears in paths."""
        return identity(self.to_dict())

    @property
    def seeds_text(self) -> str:
        """The seeds as they appear in paths."""
        return seeds_text(self.seeds)

    @property
    def trainable(self) -> bool:
        """Whether anything is learned; an untrained run has no shots and no seeds of its own."""
        return self.shots > 0

    @property
    def order(self) -> tuple[Any, ...]:
        """What lists of runs are sorted by."""
        return self.dataset, self.subset, self.variant, self.shots, self.seeds, self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


@dataclass(frozen=True)
class Evaluation:
    """A run applied to subsets of a target dataset.

    Attributes:
        run: what is tested.
        target: the dataset tested on.
        data: digest of the settings that decide the target's images, labels and class names.
        templates, descriptions: of the target, as in `Run`.
        subsets: the classes tested on, each subset alone.
    """

    run: Run
    target: str
    data: str
    templates: tuple[str, ...]
    descriptions: str | None
    subsets: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that decides the numbers."""
        return {part.name: getattr(self, part.name) for part in fields(self)} | {"run": self.run.to_dict()}

    def to_json(self) -> str:
        """The canonical form: equal evaluations give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Evaluation":
        """The evaluation of `to_dict`; a UserError that names the first key that does not fit."""
        return _parsed(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of what decides the numbers, as it appears in paths."""
        return identity(self.to_dict() | {"run": self.run.identity})

    @property
    def subsets_text(self) -> str:
        """The subsets as they appear in paths: base+new."""
        return "+".join(self.subsets)

    @property
    def order(self) -> tuple[Any, ...]:
        """What lists of evaluations are sorted by."""
        return self.run.order, self.target, self.subsets, self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


for _type in (Run, Evaluation, BackboneSpec, TrainingSpec):
    _type.__pydantic_config__ = ConfigDict(extra="forbid", strict=True)  # type: ignore[union-attr]
_ADAPTERS: dict[type, TypeAdapter] = {Run: TypeAdapter(Run), Evaluation: TypeAdapter(Evaluation)}


def _parsed(cls: type, content: Any, where: str) -> Any:
    try:
        return _ADAPTERS[cls].validate_json(canonical_json(content))
    except (ValidationError, ValueError, TypeError) as error:
        raise UserError(f"{where}: {_first_problem(error)}.") from error


def _first_problem(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "run"
    got = "" if first["type"] == "missing" else f", got {first['input']!r}"[:80]
    return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}{got}"
