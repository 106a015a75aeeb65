"""One job of the workflow: its rule, its files and its command line."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

from cocoop.config.draw import Draw
from cocoop.config.specs import DatasetSpec
from cocoop.planning.stages import Stage
from cocoop.run import Evaluation, Run

PLAIN, VALIDATION = "plain", "validation"
VIEW_LADDER = (0, 10, 50, 100, 200, 400, 800, 1600)
Files = str | tuple[str, ...]


@dataclass(frozen=True)
class Views:
    """The images of a draw, encoded once.

    Attributes:
        backbone: name of the backbone.
        dataset, subset, shots, seeds: the draw.
        kind: plain (training images without augmentation), validation (the validation draw without augmentation), or views.
        epochs: [start, stop) of the augmented views, one per epoch; None for the other kinds.
        local: whether local image features are stored, too.
        draw: how the images were drawn, without noise of their labels.
    """

    backbone: str
    dataset: str
    subset: str
    shots: int
    seeds: tuple[int, ...]
    kind: str = "views"
    epochs: tuple[int, int] | None = None
    local: bool = False
    draw: Draw = field(default_factory=Draw)

    @property
    def name(self) -> str:
        """The file name without suffix: plain, validation, or views10-50; with local features, local-plain, and so on."""
        name = f"views{self.epochs[0]}-{self.epochs[1]}" if self.epochs else self.kind
        return f"local-{name}" if self.local else name

    @property
    def per_image(self) -> int:
        """Number of views per image in this file."""
        return self.epochs[1] - self.epochs[0] if self.epochs else 1


@dataclass(frozen=True, eq=False)
class Job:
    """One job of the workflow.

    Attributes:
        stage: the rule.
        about: the subject: the name of a dataset or experiment, Views, a Run (train) or an Evaluation.
        wildcards: values of the wildcards in the rule's patterns.
        inputs: input files by name, created by other jobs or by users.
        words: returns the arguments of the command; empty for stages after evaluation, whose rules contain them.
        experiments: the experiments that need the job.
        local: whether it stores local image features (features and views).
    """

    stage: Stage
    about: str | Views | Run | Evaluation
    wildcards: Mapping[str, str]
    inputs: Mapping[str, Files] = field(default_factory=dict)
    words: Callable[[], Sequence[str]] = tuple
    experiments: tuple[str, ...] = ()
    local: bool = False

    @property
    def key(self) -> tuple[str, frozenset[tuple[str, str]]]:
        """The rule and its wildcards, which identify the job."""
        return self.stage.name, frozenset((name, text) for name, text in self.wildcards.items() if name != "data_root")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Job) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    @cached_property
    def outputs(self) -> dict[str, str]:
        """Output paths by name, relative to the working folder."""
        return {name: pattern.format(**self.wildcards) for name, pattern in self.stage.outputs.items()}

    @property
    def log(self) -> str:
        return self.stage.log.format(**self.wildcards)

    @property
    def usage(self) -> str | None:
        return self.stage.usage and self.stage.usage.format(**self.wildcards)

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all inputs."""
        return tuple(path for paths in self.inputs.values() for path in ([paths] if isinstance(paths, str) else paths))

    @property
    def backbone(self) -> str | None:
        """Name of the backbone; None for jobs without one."""
        return self.wildcards.get("backbone")

    @property
    def needs_gpu(self) -> bool:
        return self.stage.usage is not None

    @cached_property
    def command(self) -> list[str]:
        """The arguments after `python -m cocoop`."""
        used = ["--usage", self.usage] if self.usage else []
        return [self.stage.name.replace("_", "-"), *self.words(), *used]


def once(make: Callable[..., Job]) -> Callable[..., Job]:
    """A method of `Jobs` that makes the job of a dataset once, because every run and evaluation asks for it."""

    def found(jobs: Any, spec: DatasetSpec) -> Job:
        key = (make.__name__, spec.name)
        if key not in jobs.made:
            jobs.made[key] = make(jobs, spec)
        return jobs.made[key]

    return found


def view_ranges(views: int) -> list[tuple[int, int]]:
    """[0, views) split at the edges of VIEW_LADDER: view_ranges(60) = [(0, 10), (10, 50), (50, 60)]."""
    return list(pairwise([*(edge for edge in VIEW_LADDER if edge < views), views]))


def views_of(run: Run) -> dict[str, list[Views]]:
    """The cached images that a training reads, by its option. Runs of different lengths share the first ranges of views.

    views: in order of the epochs. validation: the validation draw, or the training images without augmentation, some of which
    are held out. To fit a temperature, it reads the validation draw alone.
    """
    draw, read = (run.backbone.name, run.dataset, run.subset, run.shots, run.seeds), {}
    plain = [Views(*draw, kind=PLAIN)]
    validation = [Views(*draw, kind=VALIDATION)]
    if run.temperature != "none":  # its training is that of another run
        read = {"validation": validation} if run.inputs == "features" else {}
    else:
        if run.cached_views:
            read["views"] = [Views(*draw, epochs=epochs) for epochs in view_ranges(run.views)] or plain
        if run.selection == "hold_one_out":
            read["validation"] = plain
        elif run.validation:
            read["validation"] = validation
    return {name: [replace(views, local=run.local, draw=run.draw.images) for views in of] for name, of in read.items()}
