"""Whether a training's prompt encoder is compiled: torch.compile makes each step shorter and the first one long."""

import logging
import os
import shutil
from dataclasses import replace

import torch
from torch import Tensor, nn

from cocoop.text.prompt_encoder import PromptEncoder
from cocoop.text.text_encoder import TextEncoder

logger = logging.getLogger(__name__)
CHOICES = ("auto", "on", "off")
PAYS_FROM_TOKENS = {
    "cpu": 1_500_000
}  # of a training; twice the break-even that benchmarks/compiled.py found (docs/performance.md)
COMPILERS = ("g++", "c++", "clang++")


def for_training(side: TextEncoder, steps: int, choice: str) -> TextEncoder:
    """The text side for a training of so many steps of one shape.

    choice: on, off, or auto: compiled where that was measured to pay. What auto chooses depends on the training of a single seed,
    so that seeds together are computed like seeds alone.
    """
    if choice == "off":
        return side

    def encoder(prompts) -> nn.Module:
        exact = side.encoder(prompts)
        if not isinstance(exact, PromptEncoder):
            if choice == "on":
                logger.info("compile: the literal text path is run as it is")
            return exact
        return torch.compile(exact, fullgraph=True, dynamic=False) if choice == "on" else WhereItPays(exact, steps)

    return replace(side, encoder=encoder)


class WhereItPays(nn.Module):
    """An exact encoder that compiles itself at its first call if the training has tokens enough to repay the compiler."""

    def __init__(self, encoder: PromptEncoder, steps: int) -> None:
        super().__init__()
        self.encoder, self.steps = encoder, steps
        self.run: nn.Module | None = None

    def forward(self, context: Tensor) -> Tensor:
        """As PromptEncoder's."""
        if self.run is None:
            self.run = self._chosen(context)
        return self.run(context)

    def _chosen(self, context: Tensor) -> nn.Module:
        packing = self.encoder.packing
        tokens = self.steps * (packing.tail_entries + len(packing.prefix()[1]))
        least = PAYS_FROM_TOKENS.get(context.device.type)
        if least is None or tokens < least or not _compiler():
            return self.encoder
        logger.info("compile: %d steps repay the compiler; the first one waits for it", self.steps)
        return torch.compile(self.encoder, fullgraph=True, dynamic=False)


def _compiler() -> str | None:
    """A C++ compiler, which torch.compile needs on a CPU."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", ""), *COMPILERS))), None)
