"""A method's changes to a frozen image tower: tokens, adapters, and low-rank terms of matrices.

Layers count from 0. The first dimension of tensors is S, the seeds, which train together.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from torch import Tensor

MATRICES = (
    "q",
    "k",
    "v",
    "o",
    "fc",
    "proj",
)  # attention: queries, keys, values, output; MLP: first and second layer
TOKENS = ("deep_prompts", "inserted")
Adapter = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LowRank:
    """A low-rank term scale * up @ down @ dropout(x), which is added to the product of a frozen matrix (out, in) and x.

    down: (S, r, in); up: (S, out, r).
    dropout: a function of x (S, B, T, in) that keeps its shape. Each matrix has a separate function, so that it draws a separate
        mask (CLIP-LoRA, loralib/layers.py). In the last layer, queries are needed only for tokens that are read out, so
        `dropout` of "q", "o", "fc" and "proj" gets only the leading tokens.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    dropout: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class ImageChanges:
    """All changes in a forward pass. An image tower has no attention mask, so the order of tokens does not matter.

    deep_prompts: layer -> (S, M, D), before that layer. The first ones are appended to the class token and the patches, later ones
        replace them, and layers without an entry keep them. Those of layer 0 are added before ln_pre. They have no position
        embedding (VPT, IVLP, MaPLe, PromptSRC, CoPrompt: multimodal-prompt-learning clip/model.py:191-331, 362-476).
    inserted: the same, but without ln_pre, and read out at the end (MMRL clip/model_mmrl.py:197-250, 340-382).
    adapters: layer -> function of ln_1(x), (S or 1, B or 1, T, D) -> (S, B or 1, T, D), whose result is added to the layer's
        output (MMA clip/model.py:186-216). It must treat each token separately.
    deltas: (layer, matrix) -> LowRank (CLIP-LoRA); see MATRICES.
    """

    deep_prompts: Mapping[int, Tensor] = field(default_factory=dict)
    inserted: Mapping[int, Tensor] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    deltas: Mapping[tuple[int, str], LowRank] = field(default_factory=dict)

    @property
    def layers(self) -> set[int]:
        """The layers that differ from the frozen tower."""
        return {*self.deep_prompts, *self.inserted, *self.adapters, *(layer for layer, _ in self.deltas)}

    def of_layer(self, layer: int) -> tuple[Mapping[str, LowRank], Adapter | None]:
        """The changes inside one layer: low-rank terms by matrix, and the adapter."""
        return {name: delta for (at, name), delta in self.deltas.items() if at == layer}, self.adapters.get(layer)

    def check(self, layers: int, width: int, shape: Callable[[int, str], tuple[int, int]], seeds: int) -> None:
        """Raises a ValueError for changes that do not match a tower.

        layers: number of layers of the tower.
        width: D of the tower.
        shape: (layer, matrix) -> (out, in) of the tower.
        seeds: number of seeds of the images; 1 if they are equal for all seeds.
        """
        if beyond := sorted(layer for layer in self.layers if not 0 <= layer < layers):
            raise ValueError(f"changes of layers {beyond}, but the image tower has layers 0 to {layers - 1}")
        if wrong := sorted({name for _, name in self.deltas} - set(MATRICES)):
            raise ValueError(f"changes of matrices {wrong}; choose from {', '.join(MATRICES)}")
        found = {seeds} - {1}
        for where, tensor, expected in self._tensors(width, shape):
            if tensor.ndim != 3 or any(
                isinstance(n, int) and n != m for n, m in zip(expected, tensor.shape, strict=True)
            ):
                raise ValueError(f"{where} has shape {tuple(tensor.shape)}, expected ({', '.join(map(str, expected))})")
            found.add(len(tensor))
        if len(found) > 1:
            raise ValueError(f"images and changes have different numbers of seeds: {sorted(found)}")

    def _tensors(
        self, width: int, shape: Callable[[int, str], tuple[int, int]]
    ) -> Iterator[tuple[str, Tensor, tuple[str | int, ...]]]:
        """Each tensor with its name and expected shape, in which a letter means any size."""
        for name in TOKENS:
            for layer, tokens in getattr(self, name).items():
                yield f"{name}[{layer}]", tokens, ("S", "M", width)
        for key, delta in self.deltas.items():
            outputs, inputs = shape(*key)
            yield f"deltas[{key}].down", delta.down, ("S", "r", inputs)
            yield f"deltas[{key}].up", delta.up, ("S", outputs, "r")


NO_CHANGES = ImageChanges()
