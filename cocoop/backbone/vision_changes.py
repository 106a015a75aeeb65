"""What a method may change in a frozen image tower: tokens, adapters, and low-rank additions to matrices.

Layers count from 0. Tensors have the seeds S in front, so that the trainings of several seeds run as one.
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
)  # of attention: queries, keys, values, output; of the MLP: into and out of it
TOKENS = ("deep_prompts", "inserted")
Adapter = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LowRank:
    """scale * up @ down @ dropout(x), added to what a frozen matrix (out, in) makes of its input x.

    down: (S, r, in); up: (S, out, r). dropout: a function of x (S, B, T, in) that keeps its shape; every matrix has its own,
    so that each draws its own mask (CLIP-LoRA, loralib/layers.py). In the last layer only the tokens that are read out ask a
    query, so `dropout` of "q", "o", "fc" and "proj" sees the leading tokens alone there.
    """

    down: Tensor
    up: Tensor
    scale: float = 1.0
    dropout: Callable[[Tensor], Tensor] | None = None


@dataclass(frozen=True)
class ImageChanges:
    """All changes of one forward pass. An image tower has no mask, so the place of a token in the sequence does not matter.

    deep_prompts: layer -> (S, M, D), in front of that layer. The first of them join the class token and the patches; later ones
        replace them, and layers without an entry let them pass. Those of layer 0 join before ln_pre and pass it; none gets a
        position (VPT, IVLP, MaPLe, PromptSRC, CoPrompt: multimodal-prompt-learning clip/model.py:191-331, 362-476).
    inserted: the same, but never through ln_pre, and read out at the end (MMRL clip/model_mmrl.py:197-250, 340-382).
    adapters: layer -> function of ln_1(x), (S or 1, B or 1, T, D) -> (S, B or 1, T, D), whose result is added to the layer's
        output (MMA clip/model.py:186-216). It must treat each token alone.
    deltas: (layer, matrix) -> LowRank (CLIP-LoRA); see MATRICES.
    """

    deep_prompts: Mapping[int, Tensor] = field(default_factory=dict)
    inserted: Mapping[int, Tensor] = field(default_factory=dict)
    adapters: Mapping[int, Adapter] = field(default_factory=dict)
    deltas: Mapping[tuple[int, str], LowRank] = field(default_factory=dict)

    @property
    def layers(self) -> set[int]:
        """The layers that differ from the frozen tower's."""
        return {*self.deep_prompts, *self.inserted, *self.adapters, *(layer for layer, _ in self.deltas)}

    def of_layer(self, layer: int) -> tuple[Mapping[str, LowRank], Adapter | None]:
        """What changes inside one layer: low-rank additions by matrix, and its adapter."""
        return {name: delta for (at, name), delta in self.deltas.items() if at == layer}, self.adapters.get(layer)

    def check(self, layers: int, width: int, shape: Callable[[int, str], tuple[int, int]], seeds: int) -> None:
        """Raises ValueError for changes that a tower cannot take.

        layers, width D, shape (out, in) of a layer's matrix: the tower's; seeds: of the images, 1 if they are the same for all.
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
            raise ValueError(f"images and changes are of different numbers of seeds: {sorted(found)}")

    def _tensors(
        self, width: int, shape: Callable[[int, str], tuple[int, int]]
    ) -> Iterator[tuple[str, Tensor, tuple[str | int, ...]]]:
        """Each tensor with its name and shape; a letter stands for any size."""
        for name in TOKENS:
            for layer, tokens in getattr(self, name).items():
                yield f"{name}[{layer}]", tokens, ("S", "M", width)
        for key, delta in self.deltas.items():
            outputs, inputs = shape(*key)
            yield f"deltas[{key}].down", delta.down, ("S", "r", inputs)
            yield f"deltas[{key}].up", delta.up, ("S", outputs, "r")


NO_CHANGES = ImageChanges()
