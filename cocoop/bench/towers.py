"""The two sides of methods that learn by gradient, any registered variant, with both towers and images."""

from collections.abc import Mapping
from typing import Any

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop import methods
from cocoop.backbone.local import local_encoder
from cocoop.backbone.model import RANDOM_WEIGHTS_SEED, Backbone
from cocoop.backbone.transforms import Preprocessing
from cocoop.backbone.vision import ImageEncoder
from cocoop.bench.cases import Case
from cocoop.bench.plain import PlainImage
from cocoop.bench.sides import SEED, Work, class_names, sides_of
from cocoop.config.prompts import DESCRIPTIONS
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.methods.base import FewShot, Method, Task

TEMPLATE = "a photo of a {}."
NOISE = 0.02
SENTENCES = 3  # about each class, for methods that need descriptions
GEOMETRY: Mapping[str, Any] = {
    "embed_dim": 512,
    "vision_cfg": {"image_size": 224, "layers": 12, "width": 768, "patch_size": 16},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12},
}  # ViT-B/16


def whole(device: str, geometry: Mapping[str, Any], precision: str) -> Backbone:
    """A random CLIP with this geometry (arguments of open_clip's CLIP) and the logit scale of the trained one."""
    with torch.random.fork_rng(devices=()):
        torch.default_generator.manual_seed(RANDOM_WEIGHTS_SEED)
        model = open_clip.CLIP(**geometry, quick_gelu=True).eval().requires_grad_(False).to(device)
    model.logit_scale.fill_(100.0).log_()
    pixels = Preprocessing(
        geometry["vision_cfg"]["image_size"], open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
    )
    spec = BackboneSpec("bench", "bench", None, precision)
    return Backbone(spec, model, pixels, geometry["embed_dim"], 100.0, "", torch.device(device))


def work(case: Case, side: str, backbone: Backbone) -> Work:
    """One side of a case with random pixels and labels.

    literal: all tokens of every class and image through torch's modules, with frozen image features anew in each step.
    fast: the exact encoders, with frozen image features, and states of the layers that the method leaves as they are, from a
    cache.
    """
    spec, names, fast = Registry().variant(case.method, "--methods"), tuple(class_names(case.classes)), side == "fast"
    if spec.learns != "by_gradient" or spec.training is None:
        raise UserError(f"--methods: {case.method} does not learn by gradient; name a variant that does.")
    text = sides_of(backbone.model, backbone.spec.precision)[side]
    described = {name: [f"{TEMPLATE.format(name)} {n}" for n in range(SENTENCES)] for name in names}
    prompts = described if spec.prompts_for("") == DESCRIPTIONS else (TEMPLATE,)
    task = Task(text, (SEED,), names, prompts, TEMPLATE, backbone if spec.inputs == "images" else None)
    method = methods.find(spec.implementation, spec.method)(task, **spec.params)
    encoder = getattr(method, "encoder", None)
    random = torch.Generator().manual_seed(SEED)
    size = backbone.image_size
    pixels, other = torch.randn(2, 1, case.batch, 3, size, size, generator=random).to(backbone.device)
    labels = torch.randint(case.classes, (1, case.batch), generator=random).to(backbone.device)
    if spec.inputs == "features" and type(method).fit is not Method.fit:
        few_shot = F.normalize(torch.randn(1, 1, case.classes, backbone.embed_dim, generator=random), dim=-1)
        method.fit(FewShot(few_shot.to(backbone.device), torch.arange(case.classes, device=backbone.device)[None]))
    with torch.no_grad():  # tensors that start at zero would leave the gradients of others at zero
        for parameter in method.learned_parameters().values():
            parameter.add_((NOISE * torch.randn(parameter.shape, generator=random)).to(parameter))

    @torch.no_grad()
    def frozen() -> tuple[Tensor | None, Tensor | None]:
        first = backbone.model.encode_image(pixels[0])[None] if "frozen_features" in spec.needs else None
        second = backbone.model.encode_image(other[0])[None] if "second_view" in spec.needs else None
        return first, second

    images: Any = pixels
    if spec.inputs == "features":
        encode = local_encoder(backbone) if "local_features" in spec.needs else backbone.model.encode_image
        images = encode(pixels[0])[None]
    elif isinstance(encoder, ImageEncoder):
        if not fast:
            method.encoder = PlainImage(backbone.model)  # type: ignore[assignment]
        elif method.image_layer:
            images = encoder.states(pixels, method.image_layer)
    cached = (images, None) if spec.inputs == "features" else frozen()
    anew = not fast and spec.inputs == "images"
    classify = method.for_classes(names)
    return Work(case, method, classify, images, labels, frozen if anew else lambda: cached, spec.training)
