"""The changed image encoder gives the numbers of the authors' own code: features, logits, and gradients in the image tower."""

from collections.abc import Mapping

import open_clip
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cocoop.backbone import vision_reading
from cocoop.backbone.vision import Encoded, ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges, LowRank
from tests import successors

LOGITS, GRADIENTS = 5e-4, 1e-3  # atol; relative norm (fp32 noise of the goldens: 6e-5, 2e-5)
TENSORS = Mapping[str, Tensor]
ADAPTER = "adapter_learner"
PROMPT = "prompt_learner"
REPRESENTATION = "representation_learner.compound_rep_tokens"


class TimesForward(torch.autograd.Function):
    """x * factor, the gradient passed on as it is (MMA clip/gsl.py)."""

    @staticmethod
    def forward(_, x: Tensor, factor: float) -> Tensor:
        return x * factor

    @staticmethod
    def backward(_, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


class TimesBackward(torch.autograd.Function):
    """x, its gradient times factor."""

    @staticmethod
    def forward(context, x: Tensor, factor: float) -> Tensor:
        context.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(context, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * context.factor, None


def maple(_, learned: TENSORS) -> ImageChanges:
    """Image prompts are linear maps of the text prompts."""

    def mapped(prompts: str, projection: str) -> Tensor:
        weight, bias = (learned[f"{PROMPT}.{projection}.{part}"] for part in ("weight", "bias"))
        return F.linear(learned[f"{PROMPT}.{prompts}"], weight, bias)[None]

    deep = sum(name.startswith(f"{PROMPT}.compound_prompts_text.") for name in learned)
    layers = {i + 1: mapped(f"compound_prompts_text.{i}", f"compound_prompt_projections.{i}") for i in range(deep)}
    return ImageChanges({0: mapped("ctx", "proj")} | layers)


def vpt(_, learned: TENSORS) -> ImageChanges:
    names = {0: "image_encoder.VPT"}
    names |= {layer: f"image_encoder.transformer.resblocks.{layer}.VPT_shallow" for layer in range(1, 6)}
    return ImageChanges({layer: learned[name][None] for layer, name in names.items() if name in learned})


def clip_lora(case: dict, learned: TENSORS) -> ImageChanges:
    deltas = {}
    for name in learned:
        if name.startswith("visual.") and name.endswith("_A"):
            layer, matrix = int(name.split(".")[3]), name.split(".")[5][0]
            down, up = learned[name][None], learned[name[:-1] + "B"][None]
            deltas[layer, matrix] = LowRank(down, up, case["alpha"] / case["rank"] ** 0.5)
    return ImageChanges(deltas=deltas)


def mma(case: dict, learned: TENSORS) -> ImageChanges:
    def linear(x: Tensor, name: str) -> Tensor:
        return F.linear(x, *(learned[f"{ADAPTER}.{name}.{part}"] for part in ("weight", "bias")))

    def adapter(number: int, x: Tensor) -> Tensor:
        x = TimesBackward.apply(x, case["adapter_scale"])
        x = linear(linear(x, f"visual_adapter.{number}.down.0").relu(), f"shared_adapter.{number}.0").relu()
        return TimesForward.apply(linear(x, f"visual_adapter.{number}.up"), case["adapter_scale"])

    def of_number(number: int):
        return lambda normed: adapter(number, normed)

    numbers = {int(name.split(".")[2]) for name in learned if name.startswith(f"{ADAPTER}.visual_adapter.")}
    return ImageChanges(adapters={number - 1: of_number(number) for number in numbers})  # they count layers from 1


def mmrl(case: dict, learned: TENSORS) -> ImageChanges:
    found = {}
    for number, layer in enumerate(case["rep_layers"]):  # counted from 1
        weight, bias = (learned[f"{REPRESENTATION}_r2vproj.{number}.{part}"] for part in ("weight", "bias"))
        found[layer - 1] = F.linear(learned[REPRESENTATION], weight, bias)[None]
    return ImageChanges(inserted=found)


CASES = {
    **{case: ("maple", maple) for case in ("m0", "m1", "m2", "m3")},
    **{case: ("ivlp_vpt", vpt) for case in ("i0", "i2", "v0", "v1")},
    **{case: ("promptsrc", vpt) for case in ("s0", "s1", "s2")},
    **{case: ("clip_lora", clip_lora) for case in ("l0", "l1", "l2")},
    **{case: ("mma", mma) for case in ("a0", "a1")},
    **{case: ("mmrl", mmrl) for case in ("r0", "r1")},
}
IMAGE_ALONE = (
    "proj",
    "compound_prompt_projections",
    "image_encoder",
    "visual",
    "visual_adapter",
    f"{REPRESENTATION}_r2v",
)


def in_the_image_tower(name: str) -> bool:
    """Whether a learned tensor has no part in the text tower, so that its gradient needs constant text features alone."""
    return name.removeprefix(f"{PROMPT}.").removeprefix(f"{ADAPTER}.").startswith(IMAGE_ALONE)


def text_features(method: str, case: str, model: nn.Module) -> Tensor:
    """Of the golden; VPT's are those of the untouched tower."""
    if f"{case}_text_features" in successors.arrays(method):
        return successors.array(method, f"{case}_text_features")
    about = successors.facts(method)["cases"][case]
    sentences = [about["template"].format(name.replace("_", " ")) for name in about["classnames"]]
    return model.encode_text(open_clip.tokenizer.SimpleTokenizer()(sentences))


def similarity(features: Tensor, text: Tensor, scale: float) -> Tensor:
    return scale * F.normalize(features, dim=-1) @ F.normalize(text, dim=-1).T


def encoded(method: str, case: str, model: nn.Module, learned: TENSORS) -> Encoded:
    make, about = CASES[case][1], successors.facts(method)["cases"][case]
    encoder = ImageEncoder(vision_reading.read(model), torch.device("cpu"))
    return encoder.encode(successors.pixels(), make(about, learned))


def scale_of(method: str, model: nn.Module) -> float:
    return 100.0 if method in ("clip_lora", "mmrl") else float(model.logit_scale.exp())


@pytest.mark.parametrize("case", CASES)
def test_features_and_logits_are_the_authors(case):
    method, model = CASES[case][0], successors.clip(CASES[case][0], case)
    features = encoded(method, case, model, successors.given_all(method, case)).features[0]
    torch.testing.assert_close(features, successors.array(method, f"{case}_image_features"), rtol=0, atol=1e-4)
    logits = similarity(features, text_features(method, case, model), scale_of(method, model))
    torch.testing.assert_close(logits, successors.array(method, f"{case}_logits"), rtol=0, atol=LOGITS)


@pytest.mark.parametrize("case", [case for case in CASES if CASES[case][0] not in ("promptsrc", "mmrl")])
def test_gradients_in_the_image_tower_are_the_authors(case):
    method, model, learned = (
        CASES[case][0],
        successors.clip(CASES[case][0], case),
        successors.given_all(CASES[case][0], case),
    )
    features = encoded(method, case, model, learned).features[0]
    logits = similarity(features, text_features(method, case, model), scale_of(method, model))
    labels = torch.tensor(successors.facts(method)["cases"][case]["labels"])
    loss = F.cross_entropy(logits, labels)
    assert loss.item() == pytest.approx(successors.facts(method)["cases"][case]["at_given"]["loss"], abs=1e-4)
    compare_gradients(method, case, learned, loss)


@pytest.mark.parametrize("case", ["r0", "r1"])
def test_representation_tokens_are_read_out_as_in_mmrl(case):
    model, learned, about = successors.clip("mmrl", case), successors.given_all("mmrl", case), successors.facts("mmrl")
    about, text = about["cases"][case], successors.array("mmrl", f"{case}_text_features")
    found = encoded("mmrl", case, model, learned)
    features, projection = found.features[0], learned["image_encoder.proj_rep"]
    representation = found.inserted[0].mean(1) @ projection
    wanted = successors.array("mmrl", f"{case}_image_features_rep")
    torch.testing.assert_close(representation, wanted, rtol=0, atol=1e-4)
    logits = [similarity(x, text, 100.0) for x in (features, representation)]
    torch.testing.assert_close(logits[1], successors.array("mmrl", f"{case}_logits_rep"), rtol=0, atol=LOGITS)
    labels, teacher = torch.tensor(about["labels"]), successors.array("mmrl", f"{case}_teacher_image")
    first, second = (F.cross_entropy(x, labels) for x in logits)
    loss = about["alpha"] * first + (1 - about["alpha"]) * second
    loss = loss + about["reg_weight"] * (1 - F.cosine_similarity(features, teacher).mean())
    compare_gradients("mmrl", case, learned, loss)


def compare_gradients(method: str, case: str, learned: TENSORS, loss: Tensor) -> None:
    names = [name for name in learned if in_the_image_tower(name)]
    assert names
    for name, found in zip(names, torch.autograd.grad(loss, [learned[name] for name in names]), strict=True):
        wanted = successors.array(method, f"{case}_grad_{name}")
        assert (found - wanted).norm() <= GRADIENTS * wanted.norm(), name
