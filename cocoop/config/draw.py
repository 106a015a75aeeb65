"""How the few-shot images of a run are drawn and labelled, apart from the number of shots and the seed."""

from dataclasses import dataclass, field, fields, replace
from typing import Any

from cocoop.errors import counted

ALL_SHOTS = 10**9  # `shots: all`: more than any class has, so all images are taken
ALL = "all"
SYMMETRIC, PAIR_FLIP = "symmetric", "pair_flip"
COOP, CLIP_LORA = "coop", "clip_lora"
AS_CLIP_LORA = "drawn as by CLIP-LoRA"
NOISE = "label noise"
IMPORTED, BY_CLASS = "imported draws", "shots by class"
UNEVEN = f"imbalance|{BY_CLASS}|{IMPORTED}"  # in `Draw.text`: what may give classes different numbers of images


def shots_of(written: int | str) -> int:
    """The number for `shots` as written in a configuration: an integer, or all."""
    return ALL_SHOTS if written == ALL else int(written)


def shots_text(shots: int) -> str:
    """The number of shots as written in a configuration, in paths and in tables."""
    return ALL if shots == ALL_SHOTS else str(shots)


def shots_in_words(shots: int) -> str:
    """`16 shots`, or `all training images`."""
    return "all training images" if shots == ALL_SHOTS else counted(shots, "shot", "shots")


@dataclass(frozen=True)
class Draw:
    """What differs from the authors' draw; nothing by default.

    Attributes:
        noise: share of the training images that get a wrong label.
        noise_kind: which one: symmetric (any other class of the training classes) or pair_flip (the next one).
        imbalance: images of the first class over those of the last, with an exponential profile between them.
        class_shots: (class, shots) of single classes.
        like: whose code draws: coop, or clip_lora (the validation images first, and repeated images in classes with too few).
        files: sha256 of the file with the draw of each of the run's seeds; empty to draw.
        folder: where these files are; it affects no number.
    """

    noise: float = 0.0
    noise_kind: str = SYMMETRIC
    imbalance: float = 1.0
    class_shots: tuple[tuple[str, int], ...] = ()
    like: str = COOP
    files: tuple[str, ...] = ()
    folder: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        """Equal draws have equal values: 0.25 and 0.250, and no kind of noise without noise."""
        object.__setattr__(self, "noise", float(self.noise))
        object.__setattr__(self, "imbalance", float(self.imbalance))
        if not self.noise:
            object.__setattr__(self, "noise_kind", SYMMETRIC)

    @property
    def settings(self) -> dict[str, Any]:
        """What differs from the authors' draw and affects numbers, as JSON values."""
        values = {part.name: getattr(self, part.name) for part in fields(self) if part.compare}
        changed = {name: value for name, value in values.items() if value != getattr(Draw, name)}
        return changed | ({"noise_kind": self.noise_kind} if self.noise else {})

    @property
    def images(self) -> "Draw":
        """What decides the images, but not their labels."""
        return replace(self, noise=0.0)

    @property
    def uneven(self) -> bool:
        """Whether classes have different numbers of images, which then depend on the classes trained on."""
        return self.imbalance != 1 or bool(self.class_shots)

    def of_seed(self, index: int) -> "Draw":
        """The draw of one of the run's seeds."""
        return replace(self, files=self.files[index : index + 1])

    @property
    def text(self) -> str:
        """In words, for records and tables: `25 % symmetric label noise, imbalance 10`; empty for the authors' draw."""
        noise = f"{100 * self.noise:g} % {self.noise_kind.replace('_', '-')} {NOISE}"
        parts = {
            noise: self.noise,
            f"imbalance {self.imbalance:g}": self.imbalance != 1,
            BY_CLASS: self.class_shots,
            AS_CLIP_LORA: self.like == CLIP_LORA,
            IMPORTED: self.files,
        }
        return ", ".join(part for part, is_so in parts.items() if is_so)


def images_text(text: str) -> str:
    """The `Draw.text` of the same images without label noise."""
    return ", ".join(part for part in text.split(", ") if not part.endswith(NOISE))


def level_of(text: str) -> str:
    """The part of `Draw.text` that may differ between the rows of an experiment."""
    return ", ".join(part for part in text.split(", ") if part not in (BY_CLASS, AS_CLIP_LORA, IMPORTED))
