"""Text features, and gradients on the text side, of the successors' own code: through the exact encoder and the literal path."""

import zlib

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from cocoop.text.changes import LowRank, TextChanges
from cocoop.text.prompts import learnable, templated
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower
from tests import reference
from tests.oracle import TOKENIZER
from tests.successors import case, clip, close, given, golden

WORDS = "a photo of a"


@pytest.fixture(params=["exact", "literal"])
def path(request):
    return request.param


def encoder(path: str, method: str, name: str, prompts):
    model = clip(method, name)
    if path == "literal":
        return TextEncoder.literal(model).encoder(prompts)
    tower = TextTower.from_open_clip(model, TOKENIZER.sot, TOKENIZER.eot).in_precision("fp32")
    return TextEncoder.fast(tower).encoder(prompts)


def nothing(width: int) -> Tensor:
    return torch.zeros(1, 0, width)


def cross_entropy(image: Tensor, text: Tensor, labels: list[int], scale: float) -> Tensor:
    logits = scale * F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    return F.cross_entropy(logits, torch.tensor(labels))


def gradients(method: str, name: str, loss: Tensor, tensors: dict[str, Tensor], scale: float = 1.0) -> None:
    for (tensor, _), gradient in zip(tensors.items(), torch.autograd.grad(loss, list(tensors.values())), strict=True):
        close(gradient / scale, golden(method, name, f"grad_{tensor}"))


@pytest.mark.parametrize("name", ["m0", "m1", "m2", "m3"])
def test_maple(path, name):
    of = case("maple", name)
    prompts = learnable(TOKENIZER, 77, of["classnames"], of["n_ctx"], WORDS)
    for entries, tokens in zip(prompts.classes, of["prompt_token_ids"], strict=True):
        assert entries == (tokens[0], *range(-1, -of["n_ctx"] - 1, -1), *tokens[of["n_ctx"] + 1 :])  # "of a" stays
    deep = {
        i: given("maple", name, f"prompt_learner.compound_prompts_text.{i - 1}")[None]
        for i in range(1, of["prompt_depth"])
    }
    ctx = given("maple", name, "prompt_learner.ctx")[None]
    text = encoder(path, "maple", name, prompts)(ctx, TextChanges(deep))[0]
    close(text, golden("maple", name, "text_features"), 1e-4)


@pytest.mark.parametrize(
    ("method", "name"), [("ivlp_vpt", "i0"), ("ivlp_vpt", "i1"), ("ivlp_vpt", "i2"), ("promptsrc", "s1")]
)
def test_independent_prompts(path, method, name):
    of = case(method, name)
    prompts = learnable(TOKENIZER, 77, of["classnames"], of["text_n_ctx"], WORDS)
    deep = [f"text_encoder.transformer.resblocks.{i}.VPT_shallow" for i in range(1, of["text_depth"])]
    tensors = {tensor: given(method, name, tensor) for tensor in ("prompt_learner.ctx", *deep)}
    changes = TextChanges({i: tensors[tensor][None] for i, tensor in enumerate(deep, 1)})
    text = encoder(path, method, name, prompts)(tensors["prompt_learner.ctx"][None], changes)[0]
    close(text, golden(method, name, "text_features"), 1e-4)
    if method == "ivlp_vpt":
        image = golden(method, name, "image_features")
        gradients(method, name, cross_entropy(image, text, of["labels"], 1 / 0.07), tensors)


@pytest.mark.parametrize("name", ["t0", "t1", "t2"])
def test_tcp(path, name):
    """Class tokens at a block that take the places of a shared context, or are mixed in."""
    of = case("tcp", name)
    lead, template = (of["ctx_init"] or "X X X X"), of["student_template"]
    prompts = learnable(
        TOKENIZER, 77, of["classnames"], 4, of["ctx_init"], template=template.removeprefix(lead).strip()
    )
    parts = [f"meta_net.linear{i}.{kind}" for i in (1, 2) for kind in ("weight", "bias")]
    tensors = {part: golden("tcp", name, part).requires_grad_() for part in ("ctx", *parts)}
    teacher, (w1, b1, w2, b2) = golden("tcp", name, "teacher"), (tensors[part] for part in parts)
    hidden = F.linear(teacher, w1, b1)
    classes = F.linear(hidden * torch.sigmoid(1.702 * hidden), w2, b2).view(len(prompts.classes), 4, -1)
    close(classes, golden("tcp", name, "class_prompts"))
    changes = TextChanges({of["inject_before_block"]: classes[None]}, of["inject_weight"])
    text = encoder(path, "tcp", name, prompts)(tensors["ctx"][None], changes)[0]
    image = torch.from_numpy(reference.goldens()["image_features"])
    logits = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T / 0.07
    torch.testing.assert_close(logits, golden("tcp", name, "logits"), rtol=0, atol=5e-4)
    loss = F.cross_entropy(logits, torch.tensor(of["labels"])) + 8 * (1 - F.cosine_similarity(text, teacher).mean())
    assert abs(loss.item() - of["at_given"]["loss"]) < 1e-4
    gradients("tcp", name, loss, tensors)


@pytest.mark.parametrize("name", ["l0", "l1", "l3", "l4"])
def test_clip_lora(path, name):
    of = case("clip_lora", name)
    matrices = {"q": "q_proj", "k": "k_proj", "v": "v_proj", "o": "proj"}
    modules = [tensor.removesuffix(".w_lora_A") for tensor in of["learned"] if tensor.endswith("A")]
    modules = [module for module in modules if module.startswith("transformer")]
    tensors, terms = {}, {}
    for module in modules:
        layer, matrix = int(module.split(".")[2]), module.split(".")[-1]
        a, b = (given("clip_lora", name, f"{module}.w_lora_{part}") for part in "AB")
        tensors |= {f"{module}.w_lora_A": a, f"{module}.w_lora_B": b}
        letter = next(letter for letter, named in matrices.items() if named == matrix)
        term = LowRank(a[None], b[None], of["alpha"] / of["rank"] ** 0.5, dropout_of(of, module, a.shape[1]))
        terms.setdefault(layer, {})[letter] = term
    prompts = templated(TOKENIZER, 77, of["classnames"], of["template"])
    text = encoder(path, "clip_lora", name, prompts)(nothing(a.shape[1]), TextChanges(low_rank=terms))[0]
    if "mask_seed" not in of:  # the features are those of a test, without dropout
        close(text, golden("clip_lora", name, "text_features"), 1e-4)
    image = golden("clip_lora", name, "image_features")
    loss = cross_entropy(image, text, of["labels"], 100)
    assert abs(loss.item() - of["at_given"]["loss"]) < 1e-4
    if name != "l4":  # whose B are zero, and with them the gradients of A
        gradients("clip_lora", name, loss, tensors)


def dropout_of(of: dict, module: str, width: int):
    """The masks of the first forward pass, by formula: tokens first."""
    if "mask_seed" not in of:
        return None

    def factors(classes: int, length: int) -> Tensor:
        draw = np.random.RandomState((zlib.crc32(module.encode()) + of["mask_seed"]) % 2**32)
        kept = draw.random_sample((77, classes, width)) >= 0.25
        return torch.from_numpy(kept[:length] / 0.75).float().transpose(0, 1)[None]

    return factors


@pytest.mark.parametrize("name", ["a0", "a1"])
def test_mma(path, name):
    """Adapters behind blocks; their parameters get the gradient of the unscaled term."""
    of = case("mma", name)
    start, end, scale = of["adapter_start"], of["adapter_end"], of["adapter_scale"]
    own, shared = {}, {}
    for layer in range(start, end + 1):
        ends = [(f"{side}.{kind}") for side in ("down.0", "up") for kind in ("weight", "bias")]
        names = [f"adapter_learner.text_adapter.{layer}.{tensor}" for tensor in ends]
        own |= {tensor: given("mma", name, tensor) for tensor in names if tensor in of["learned"]}
        names = [f"adapter_learner.shared_adapter.{layer}.0.{kind}" for kind in ("weight", "bias")]
        shared |= {tensor: given("mma", name, tensor) for tensor in names}

    def adapter(layer: int):
        mine, both = f"adapter_learner.text_adapter.{layer}", f"adapter_learner.shared_adapter.{layer}.0"

        def linear(x: Tensor, tensors: dict[str, Tensor], part: str) -> Tensor:
            return F.linear(x, tensors[f"{part}.weight"], tensors[f"{part}.bias"])

        def added(normed: Tensor, out: Tensor) -> Tensor:
            hidden = torch.relu(linear(torch.relu(linear(normed, own, f"{mine}.down.0")), shared, both))
            return out + scale * linear(hidden, own, f"{mine}.up")

        return added

    prompts = templated(TOKENIZER, 77, of["classnames"], of["template"])
    changes = TextChanges(adapters={layer - 1: adapter(layer) for layer in range(start, end + 1)})
    width = clip("mma", name).positional_embedding.shape[1]
    text = encoder(path, "mma", name, prompts)(nothing(width), changes)[0]
    close(text, golden("mma", name, "text_features"), 1e-4)
    loss = cross_entropy(golden("mma", name, "image_features"), text, of["labels"], 1 / 0.07)
    gradients("mma", name, loss, own, scale)


@pytest.mark.parametrize("name", ["r0", "r1"])
def test_mmrl(path, name):
    """Tokens that are put in behind SOS at one layer, and replaced at later ones."""
    of = case("mmrl", name)
    learner = "representation_learner.compound_rep_tokens"
    tokens = given("mmrl", name, learner)
    last = clip("mmrl", name).transformer.layers
    layers = [layer - 1 for layer in of["rep_layers"] if layer <= last]
    parts = [f"{learner}_r2tproj.{i}.{kind}" for i in range(len(layers)) for kind in ("weight", "bias")]
    tensors = {part: given("mmrl", name, part) for part in parts}
    inserted = {
        layer: F.linear(tokens, tensors[parts[2 * i]], tensors[parts[2 * i + 1]])[None]
        for i, layer in enumerate(layers)
    }
    prompts = templated(TOKENIZER, 77, of["classnames"], of["template"])
    width = clip("mmrl", name).positional_embedding.shape[1]
    text = encoder(path, "mmrl", name, prompts)(nothing(width), TextChanges(inserted=inserted))[0]
    close(text, golden("mmrl", name, "text_features"), 1e-4)
    image, rep, teacher = (
        golden("mmrl", name, what) for what in ("image_features", "image_features_rep", "teacher_text")
    )
    alpha, regular = of["alpha"], of["reg_weight"]
    loss = alpha * cross_entropy(image, text, of["labels"], 100)
    loss = loss + (1 - alpha) * cross_entropy(rep, text, of["labels"], 100)
    loss = loss + regular * (1 - F.cosine_similarity(text, teacher).mean())
    gradients("mmrl", name, loss, tensors)
