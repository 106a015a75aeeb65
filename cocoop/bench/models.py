"""The random models that are measured: a text tower for CoOp and CoCoOp on features, or both towers for any variant."""

from collections.abc import Mapping
from typing import Any, Protocol

from cocoop.bench import operations, sides, towers
from cocoop.bench.cases import Case
from cocoop.bench.sides import CONTEXTS, SEED, WORDS, InTurn, Work, class_names
from cocoop.text.prompt_encoder import PromptEncoder

# Numbers that a token keeps on the literal side, in vectors of its width: per layer in a training, in one layer otherwise.
KEPT_LITERALLY = {"train": 25, "evaluate": 12}


class Model(Protocol):
    """A random model with both sides."""

    def work(self, case: Case, side: str) -> Work | InTurn:
        """One side (literal or fast) of a case."""

    def counted(self, case: Case) -> tuple[dict[str, int], dict[str, int]]:
        """Tokens and operations of each side; empty if they are not counted."""

    def numbers_kept(self, case: Case) -> int:
        """A rough estimate of the numbers that the literal side keeps."""


def model_of(both_towers: bool, precision: str, device: str, geometry: Mapping[str, Any] | None = None) -> Model:
    """geometry: arguments of open_clip's TextTransformer or CLIP; by default those of ViT-B/16."""
    return (Towers if both_towers else Texts)(precision, device, geometry)


class Texts:
    """A text tower."""

    def __init__(self, precision: str, device: str, geometry: Mapping[str, int] | None) -> None:
        self.texts = sides.sides(device, geometry or sides.GEOMETRY, precision)

    def work(self, case: Case, side: str) -> Work | InTurn:
        seeds = range(SEED, SEED + case.seeds)
        if side == "fast" or case.seeds == 1:
            return sides.work(case, self.texts[side], seeds)
        return InTurn([sides.work(case, self.texts[side], (seed,)) for seed in seeds])

    def counted(self, case: Case) -> tuple[dict[str, int], dict[str, int]]:
        encoder = self._encoder(case)
        contexts = case.seeds * (case.batch if case.method == "cocoop" else 1)
        prefix = len(encoder.packing.prefix()[1])
        tokens = {
            "literal": case.classes * encoder.tower.facts.context_length,
            "fast": encoder.packing.tail_entries + prefix,
        }
        flops = {"literal": operations.literal(case.classes, encoder.tower), "fast": operations.required(encoder)}
        return (
            {side: contexts * count for side, count in tokens.items()},
            {side: contexts * count.of(case.work) for side, count in flops.items()},
        )

    def numbers_kept(self, case: Case) -> int:
        tower = self._encoder(case).tower
        images = case.batch if (case.method, case.work) == ("cocoop", "train") else 1
        layers = tower.facts.layers if case.work == "train" else 1
        tokens = images * case.classes * tower.facts.context_length
        return tokens * layers * KEPT_LITERALLY[case.work] * tower.width

    def _encoder(self, case: Case) -> PromptEncoder:
        text = self.texts["fast"]
        encoder = text.encoder(text.learnable(class_names(case.classes), CONTEXTS, words=WORDS))
        assert isinstance(encoder, PromptEncoder)
        return encoder


class Towers:
    """Both towers."""

    def __init__(self, precision: str, device: str, geometry: Mapping[str, Any] | None) -> None:
        self.geometry = geometry or towers.GEOMETRY
        self.backbone = towers.whole(device, self.geometry, precision)

    def work(self, case: Case, side: str) -> Work:
        return towers.work(case, side, self.backbone)

    def counted(self, case: Case) -> tuple[dict[str, int], dict[str, int]]:
        return {}, {}

    def numbers_kept(self, case: Case) -> int:
        text, image = self.geometry["text_cfg"], self.geometry["vision_cfg"]
        patches = (image["image_size"] // image["patch_size"]) ** 2
        of_text = case.classes * text["context_length"] * text["layers"] * text["width"]
        return KEPT_LITERALLY[case.work] * (of_text + case.batch * (1 + patches) * image["layers"] * image["width"])
