"""Visual prompting: learned pixels around the border of every image (Bahng et al., Exploring Visual Prompts, 2022)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from cocoop.errors import UserError
from cocoop.methods.base import Classifier, Task, generator
from cocoop.methods.shared_text import SharedText
from cocoop.methods.zero_shot import ZeroShot


class VisualPrompt(ZeroShot):
    """Zero-shot CLIP on x + delta, where delta is a learned frame of `border` pixels, the same for every image.

    Class prompts use the dataset's template. delta is initially normal and added to normalised pixels, as in the authors' code
    (visual_prompting models/prompters.py, PadPrompter).
    """

    def __init__(self, task: Task, *, border: int) -> None:
        super().__init__(task)
        backbone = self.image
        inner = backbone.image_size - 2 * border
        if inner < 1:
            raise UserError(
                f"visual_prompt: a border of {border} pixels leaves nothing of an image of {backbone.image_size}; "
                f"take at most {(backbone.image_size - 1) // 2}."
            )
        generators = [generator(seed) for seed in task.seeds]

        def drawn(height: int, width: int) -> nn.Parameter:
            noise = [torch.randn(3, height, width, generator=g) for g in generators]
            return nn.Parameter(torch.stack(noise).to(task.text.device))

        self.top, self.bottom = drawn(border, backbone.image_size), drawn(border, backbone.image_size)
        self.left, self.right = drawn(inner, border), drawn(inner, border)

    def frame(self) -> Tensor:
        """delta (S, 3, H, W), zero inside."""
        inside = self.left.new_zeros(*self.left.shape[:3], self.left.shape[2])
        middle = torch.cat([self.left, inside, self.right], 3)
        return torch.cat([self.top, middle, self.bottom], 2)

    def for_classes(self, classnames: Sequence[str]) -> Classifier:
        text = self.task.hand_crafted(classnames)[None]  # (1, C, E)
        return SharedText(lambda: text, self.text.scale, self.image_features)

    def image_features(self, pixels: Tensor) -> Tensor:
        """Features (S, B, E) of pixels (S, B, 3, H, W) in the frame."""
        framed = pixels + self.frame()[:, None]
        features = self.image.encode_images(framed.flatten(0, 1))
        return features.unflatten(0, pixels.shape[:2]).to(self.text.dtype)
