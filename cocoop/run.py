"""A run: everything that affects its numbers, as one immutable value. A digest of its canonical form is its identity.

Planning creates runs, paths contain their identities, the command line passes them as JSON, and every file of a run
(checkpoint, learned tensors, metrics) contains the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.errors import UserError
from cocoop.io import canonical_json, identity

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_SEEDS_SHOWN = 5  # in a path


def seeds_text(seeds: Sequence[int]) -> str:
    """Seeds in a form short enough for a path: 1-2-3, or 1-to-100x100 with the first, the last and the number of seeds."""
    if len(seeds) <= MOST_SEEDS_SHOWN:
        return "-".join(map(str, seeds))
    return f"{seeds[0]}-to-{seeds[-1]}x{len(seeds)}"


@dataclass(frozen=True)
class Run:
    """One training (or untrained classifier) for a block of seeds, which differ in nothing else.

    Attributes:
        backbone: the frozen model; its label is not part of the identity.
        dataset: the dataset trained on.
        data: digest of the settings that determine the dataset's images, labels and class names.
        subset: the classes trained on: all, base or new.
        templates: hand-crafted prompts with {} for the class name; empty for a method that uses none, or descriptions.
        descriptions: digest of the dataset's class descriptions, None for a method that does not use them.
        template: the one template whose words a method needs; None for the others.
        variant: name of the method's variant.
        method: name of the method's file in config/methods.
        implementation: "module:Class".
        version: increased by hand when shared code changes the method's numbers.
        code: digest of the method's source code.
        inputs: features (cached) or images (live pixels).
        stacked: whether all seeds train in one batch; otherwise they train one after another.
        needs: additional inputs of the method (workflow/schemas/method.schema.yaml).
        params: keyword arguments of the class.
        training: settings of gradient training; None for a method without it.
        selection: how hyper-parameters are chosen: none, val or hold_one_out.
        views: V, augmented views per image; 0 for the test transform.
        shots: images per class.
        seeds: each seed has its own few-shot draw and learned tensors.
    """

    backbone: BackboneSpec
    dataset: str
    data: str
    subset: str
    templates: tuple[str, ...]
    descriptions: str | None
    template: str | None
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
    selection: str
    views: int
    shots: int
    seeds: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that affects the numbers."""
        content = {part.name: getattr(self, part.name) for part in fields(self)}
        training = None if self.training is None else asdict(self.training)
        return content | {"backbone": self.backbone.settings, "training": training}

    def to_json(self) -> str:
        """The canonical form; equal runs give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Run":
        """The run with these values of `to_dict`; raises a UserError that names the first invalid key."""
        return parsed(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of the canonical form, used in paths."""
        return identity(self.to_dict())

    @property
    def seeds_text(self) -> str:
        """The seeds as written in paths."""
        return seeds_text(self.seeds)

    @property
    def trainable(self) -> bool:
        """Whether anything is learned; an untrained run has no shots and no seeds."""
        return self.shots > 0

    @property
    def validation(self) -> bool:
        """Whether the training reads the validation draw."""
        return self.selection == "val" or "validation" in self.needs

    @property
    def local(self) -> bool:
        """Whether the cached features include local ones."""
        return "local_features" in self.needs

    @property
    def cached_views(self) -> bool:
        """Whether it reads features of the training images."""
        return self.inputs == "features" or bool({"frozen_features", "second_view"} & set(self.needs))

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key for lists of runs."""
        return self.dataset, self.subset, self.variant, self.shots, self.seeds, self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


@dataclass(frozen=True)
class Evaluation:
    """A run applied to subsets of a target dataset.

    Attributes:
        run: the run to evaluate.
        target: the dataset tested on.
        data: digest of the settings that determine the target's images, labels and class names.
        templates: as in `Run`, for the target.
        descriptions: as in `Run`, for the target.
        template: as in `Run`, for the target.
        subsets: the sets of classes to test on, each separately.
    """

    run: Run
    target: str
    data: str
    templates: tuple[str, ...]
    descriptions: str | None
    template: str | None
    subsets: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that affects the numbers."""
        return {part.name: getattr(self, part.name) for part in fields(self)} | {"run": self.run.to_dict()}

    def to_json(self) -> str:
        """The canonical form; equal evaluations give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Evaluation":
        """The evaluation with these values of `to_dict`; raises a UserError that names the first invalid key."""
        return parsed(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of everything that affects the numbers, used in paths."""
        return identity(self.to_dict() | {"run": self.run.identity})

    @property
    def subsets_text(self) -> str:
        """The subsets as written in paths: base+new."""
        return "+".join(self.subsets)

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key for lists of evaluations."""
        return self.run.order, self.target, self.subsets, self.identity

    def __hash__(self) -> int:
        return hash(self.identity)


for _type in (Run, Evaluation, BackboneSpec, TrainingSpec):
    _type.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[union-attr]


@cache
def _adapter(cls: type) -> "TypeAdapter":
    # Imported here because planning and most commands read no run, and pydantic takes a third of their start.
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def parsed(cls: type, content: Any, where: str) -> Any:
    """The value of a dataclass with these JSON values; raises a UserError that names the first invalid key."""
    try:
        return _adapter(cls).validate_json(canonical_json(content))
    except (ValueError, TypeError) as error:  # pydantic's ValidationError is a ValueError
        raise UserError(f"{where}: {_first_problem(error)}.") from error


def _first_problem(error: Exception) -> str:
    from pydantic import ValidationError

    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False)[0]
    place = ".".join(map(str, first["loc"])) or "run"
    got = "" if first["type"] == "missing" else f", got {first['input']!r}"[:80]
    return f"{place}: {first['msg'][0].lower()}{first['msg'][1:]}{got}"
