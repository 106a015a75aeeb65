"""A run: everything that affects its numbers, as one immutable value. A digest of its canonical form is its identity.

Planning creates runs, paths contain their identities, the command line passes them as JSON, and every file of a run
(checkpoint, learned tensors, metrics) contains the run.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property
from typing import TYPE_CHECKING, Any

from cocoop.config.draw import Draw
from cocoop.config.specs import BackboneSpec, TrainingSpec
from cocoop.errors import UserError
from cocoop.io import canonical_json, identity

if TYPE_CHECKING:
    from pydantic import TypeAdapter

MOST_SEEDS_SHOWN = 5  # in a path
LATER: dict[str, tuple] = {
    "draw": ({},),
    "temperature": ("none",),
}  # added with values that leave earlier identities alone
OTHER_HALF = {"base": "new", "new": "base"}


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
        subset: the classes trained on: all, base or new; base-K of the random halves number K.
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
        draw: what differs from the authors' few-shot draw; not part of the canonical form if nothing does.
        temperature: val if a temperature of the logits is fitted on the validation draw; not part of the canonical form if none.
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
    draw: Draw = field(default_factory=Draw)
    temperature: str = "none"

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that affects the numbers."""
        content = {part.name: getattr(self, part.name) for part in fields(self)}
        training = None if self.training is None else {**vars(self.training)}
        content |= {"backbone": self.backbone.settings, "training": training, "draw": self.draw.settings}
        return {name: value for name, value in content.items() if name not in LATER or value not in LATER[name]}

    def to_json(self) -> str:
        """The canonical form; equal runs give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Run":
        """The run with these values of `to_dict`; raises a UserError that names the first invalid key."""
        return parsed_as(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of the canonical form, used in paths."""
        return identity(self.to_dict())

    def on(self, device: str) -> "Run":
        """The run as a job on this device computes it (`BackboneSpec.on`). Files contain the run itself."""
        return replace(self, backbone=self.backbone.on(device))

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
        return self.selection == "val" or "validation" in self.needs or self.temperature == "val"

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
        where = self.backbone.name, self.dataset, self.subset
        return *where, self.variant, self.shots, self.draw.text, self.seeds, self.identity

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
        together: whether each image of the base and new classes is also classified among the classes of the other half; part of
            the identity only if it is true, because it adds numbers and changes none.
    """

    run: Run
    target: str
    data: str
    templates: tuple[str, ...]
    descriptions: str | None
    template: str | None
    subsets: tuple[str, ...]
    together: bool = False

    def to_dict(self) -> dict[str, Any]:
        """JSON values of everything that affects the numbers."""
        return self._fields() | {"run": self.run.to_dict()}

    def _fields(self) -> dict[str, Any]:
        content = {part.name: getattr(self, part.name) for part in fields(self)}
        return content if self.together else {key: value for key, value in content.items() if key != "together"}

    def to_json(self) -> str:
        """The canonical form; equal evaluations give equal text."""
        return canonical_json(self.to_dict())

    @classmethod
    def from_dict(cls, content: Any, where: str) -> "Evaluation":
        """The evaluation with these values of `to_dict`; raises a UserError that names the first invalid key."""
        return parsed_as(cls, content, where)

    @cached_property
    def identity(self) -> str:
        """Short digest of everything that affects the numbers, used in paths."""
        return identity(self._fields() | {"run": self.run.identity})

    def among(self, subset: str) -> tuple[str, ...]:
        """The subset, and the other half if its images are also classified among the classes of that one."""
        half, dash, number = subset.partition("-")  # base-2 is of the random halves number 2
        return (subset, OTHER_HALF[half] + dash + number) if self.together and half in OTHER_HALF else (subset,)

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


for _type in (Run, Evaluation, BackboneSpec, TrainingSpec, Draw):
    _type.__pydantic_config__ = {"extra": "forbid", "strict": True}  # type: ignore[union-attr]


@cache
def _adapter(cls: type) -> "TypeAdapter":
    # Imported here because planning and most commands read no run, and pydantic takes a third of their start.
    from pydantic import TypeAdapter

    return TypeAdapter(cls)


def parsed_as(cls: type, content: Any, where: str) -> Any:
    """The value of a class of this module or of those inside it; raises a UserError that names the first invalid key."""
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
