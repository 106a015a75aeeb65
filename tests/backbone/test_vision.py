"""The image encoder that methods can change, held to open_clip's own forward pass with hooks."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from cocoop.backbone import vision_reading
from cocoop.backbone.vision import ImageEncoder
from cocoop.backbone.vision_changes import ImageChanges, LowRank
from tests.backbone import vision
from tests.backbone.changes import CHANGES, IMAGES, LAYERS, SEEDS, alone, numbers, parameters, tokens
from tests.backbone.vision import VARIANTS, Literal

CPU = torch.device("cpu")


def encoder(model: nn.Module, precision: str = "fp32") -> ImageEncoder:
    return ImageEncoder(vision_reading.read(model), CPU, precision)


def pictures(*lead: int, side: int = 32) -> Tensor:
    return numbers(*lead, 3, side, side, seed=9, scale=1.0)


def loss_of(features: Tensor, inserted: Tensor | None) -> Tensor:
    """A scalar that depends on every number in its own way. features (S, B, E), inserted (S, B, M, D)."""

    def weighed(x: Tensor) -> Tensor:
        weight = torch.linspace(-1, 1, x[0].numel(), dtype=x.dtype).reshape(x.shape[1:]).cos()
        return (F.normalize(x, dim=-1) * weight).sum()

    return weighed(features) + (0 if inserted is None else weighed(inserted))


def literal(model: nn.Module, changes: ImageChanges, pixels: Tensor) -> tuple[Tensor, Tensor | None]:
    """Features (S, B, E) and inserted tokens (S, B, M, D), one seed after the other. pixels (S, B, 3, H, W)."""
    runs = [Literal(model, alone(changes, seed)) for seed in range(SEEDS)]
    features = torch.stack([run.features(own) for run, own in zip(runs, pixels, strict=True)])
    return features, torch.stack([run.inserted for run in runs]) if changes.inserted else None


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-12) -> None:
    """Relative to the largest number."""
    assert found.shape == expected.shape
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("name", VARIANTS)
def test_unchanged_features_are_those_of_open_clip(name):
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 2e-5)):
        model, pixels = vision.model(**VARIANTS[name], dtype=dtype), pictures(IMAGES).to(dtype).requires_grad_()
        expected = model.encode_image(pixels)
        found = encoder(model).encode(pixels).features[0]
        assert found.dtype == dtype
        close(found, expected, tolerance)
        wanted, got = (torch.autograd.grad(loss_of(x[None], None), pixels)[0] for x in (expected, found))
        close(got, wanted, tolerance * 10)


@pytest.mark.parametrize("shared", [True, False], ids=["same pictures", "pictures of each seed"])
@pytest.mark.parametrize("name", CHANGES)
def test_changed_features_and_gradients_are_literal(name, shared):
    model, changes = vision.model(quick_gelu=True), CHANGES[name]()
    pixels = pictures(IMAGES) if shared else pictures(SEEDS, IMAGES)
    expected = literal(model, changes, pixels.expand(SEEDS, IMAGES, -1, -1, -1))
    found = encoder(model).encode(pixels, changes)
    close(found.features, expected[0])
    if changes.inserted:
        close(found.inserted, expected[1])
    wanted, got = (torch.autograd.grad(loss_of(*x), parameters(changes)) for x in (expected, found))
    for tensor, other in zip(got, wanted, strict=True):
        close(tensor, other, 1e-11)


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_kind_of_tower_supports_all_changes(variant):
    model = vision.model(**VARIANTS[variant] | {"layers": LAYERS, "mlp_ratio": 4.0})
    changes, pixels = CHANGES["everything"](), pictures(IMAGES)
    expected = literal(model, changes, pixels.expand(SEEDS, -1, -1, -1, -1))
    found = encoder(model).encode(pixels, changes)
    close(found.features, expected[0])
    close(found.inserted, expected[1])


@pytest.mark.parametrize("name", CHANGES)
def test_several_seeds_equal_each_seed_alone(name):
    model, changes, pixels = vision.model(), CHANGES[name](), pictures(SEEDS, IMAGES)
    together = encoder(model).encode(pixels, changes)
    for seed in range(SEEDS):
        found = encoder(model).encode(pixels[seed], alone(changes, seed))
        close(together.features[seed], found.features[0])
        if changes.inserted:
            close(together.inserted[seed], found.inserted[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_cached_states_give_the_same_bits(variant):
    model = vision.model(**VARIANTS[variant] | {"layers": LAYERS, "mlp_ratio": 4.0}, dtype=torch.float32)
    tower, pixels = encoder(model), pictures(IMAGES).float()
    for layer in range(LAYERS):
        changes = ImageChanges(inserted={layer: numbers(SEEDS, 2, 32).float()})
        states = tower.states(pixels, layer)
        assert states.x.shape[:2] == (1, IMAGES) and not states.x.requires_grad
        for found, expected in zip(tower.encode(states, changes), tower.encode(pixels, changes), strict=True):
            assert torch.equal(found, expected)


def test_states_are_those_between_open_clip_layers():
    model, pixels, seen = vision.model(), pictures(IMAGES), []
    blocks = model.visual.transformer.resblocks
    hooks = [block.register_forward_pre_hook(lambda _, x: seen.append(x[0])) for block in blocks]
    model.encode_image(pixels)
    for hook in hooks:
        hook.remove()
    for layer, expected in enumerate(seen):
        close(encoder(model).states(pixels, layer).x[0], expected)


@pytest.mark.parametrize("variant", VARIANTS)
def test_local_features_are_tokens_through_norm_and_projection(variant):
    model, pixels, seen = vision.model(**VARIANTS[variant]), pictures(IMAGES), []
    hook = model.visual.transformer.register_forward_hook(lambda _, x, y: seen.append(y))
    feature = model.encode_image(pixels)
    hook.remove()
    found = encoder(model).tokens(pixels)[0]
    close(found[:, 0], feature)
    close(found[:, 1:], model.visual.ln_post(seen[0][:, 1:]) @ model.visual.proj)


@contextmanager
def counting() -> Iterator[Callable[[], int]]:
    """Operations of the matrix products and convolutions inside, attention's own left out (torch counts it on some devices)."""
    with FlopCounterMode(display=False) as counter:
        yield lambda: sum(n for of, n in counter.get_flop_counts()["Global"].items() if "attention" not in str(of))


def flops(model: nn.Module, seeds: int, changes: dict) -> int:
    """Of a forward pass over the same pictures for all seeds, `changes` cut to as many seeds."""
    made = ImageChanges(**{name: {at: x[:seeds] for at, x in of.items()} for name, of in changes.items()})
    with counting() as count:
        encoder(model).encode(pictures(IMAGES), made)
    return count()


def test_layers_below_the_first_change_are_computed_once():
    model = vision.model()
    with counting() as count:
        encoder(model).states(pictures(IMAGES), 3)
    frozen, late = count(), {"inserted": tokens({3: 2})}
    one, three = (flops(model, seeds, late) for seeds in (1, 3))
    assert frozen > 0.6 * one
    assert three - frozen < 3 * (one - frozen)


def test_patches_of_the_first_layer_are_projected_once():
    model, changes = vision.model(), {"deep_prompts": tokens({0: 2})}
    one, three = (flops(model, seeds, changes) for seeds in (1, 3))
    shared = 2 * IMAGES * 17 * 32 * 3 * 32 + 2 * IMAGES * 16 * 192 * 32  # queries, keys, values; the patch embedding
    assert 3 * one - three == 2 * shared


def test_prompts_that_the_next_layer_replaces_ask_no_query():
    passing, replaced = (
        flops(vision.model(), 1, {"deep_prompts": tokens(of)}) for of in ({0: 3}, dict.fromkeys(range(4), 3))
    )
    matrix, rows = 2 * 32 * 32, 3  # operations for one token; prompts
    queries = rows * (1 + 2 * IMAGES) * matrix  # in layer 0 they are still the same for all images
    keys_and_values = 3 * rows * (IMAGES - 1) * 2 * matrix  # of layers 1 to 3, where those that pass differ by image
    output_and_mlp = 3 * rows * IMAGES * 9 * matrix
    assert passing - replaced == queries + keys_and_values + output_and_mlp


def test_only_tokens_that_are_read_ask_in_the_last_layer():
    with counting() as count:
        encoder(vision.model(layers=1)).encode(pictures(IMAGES))
    embedding, keys_and_values, mlp, head = 16 * 192 * 32, 17 * 32 * 64, 2 * 32 * 128, 32 * 16
    query, output = 32 * 32, 32 * 32  # of the class token alone, as is the MLP
    assert count() == 2 * IMAGES * (embedding + keys_and_values + query + output + mlp + head)


def kept_for_backward(changes: ImageChanges, model: nn.Module, pixels: Tensor) -> int:
    """Numbers that autograd keeps, without the weights."""
    weights = {tensor.untyped_storage().data_ptr() for tensor in model.visual.parameters()}
    kept: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = len(storage) // tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        encoder(model).encode(pixels, changes).features.sum().backward()
    return sum(kept.values())


def test_no_gradients_before_the_first_changed_layer():
    pixels = pictures(IMAGES)
    deep, shallow = (
        kept_for_backward(ImageChanges(inserted=tokens({1: 2}, 1)), vision.model(layers=layers), pixels)
        for layers in (9, 2)
    )
    late = kept_for_backward(ImageChanges(inserted=tokens({8: 2}, 1)), vision.model(layers=9), pixels)
    assert 0 < late <= shallow < deep / 4
    for tensor in vision.model().visual.parameters():
        assert not tensor.requires_grad


@pytest.mark.parametrize("precision", ["bf16", "reference-fp16"])
def test_half_precision_agrees_with_open_clip(precision):
    dtype = torch.bfloat16 if precision == "bf16" else torch.float16
    model, pixels = vision.model(quick_gelu=True, dtype=torch.float32), pictures(IMAGES).float()
    exact = model.encode_image(pixels)
    if precision == "reference-fp16":
        model = model.half()
    changes = ImageChanges(deep_prompts={0: numbers(SEEDS, 0, 32)}, deltas=no_deltas())
    found = encoder(model, precision).encode(pixels, changes).features
    with torch.autocast("cpu", dtype, enabled=precision == "bf16"):
        expected = model.encode_image(pixels if precision == "bf16" else pixels.half()).float()
    assert found.dtype == torch.float32 and found.shape == (SEEDS, IMAGES, 16)
    rounding = (expected - exact).abs().max()
    assert rounding > 0
    assert (found - exact).abs().max() < 2 * rounding


def no_deltas() -> dict[tuple[int, str], LowRank]:
    """Low-rank additions that add nothing."""
    return {(0, name): LowRank(torch.ones(SEEDS, 1, 32), torch.zeros(SEEDS, 32, 1)) for name in "qkvo"}


def low(down: tuple[int, ...], up: tuple[int, ...]) -> ImageChanges:
    return ImageChanges(deltas={(0, "q"): LowRank(numbers(*down), numbers(*up))})


def test_changes_that_do_not_fit_are_refused():
    tower, pixels = encoder(vision.model()), pictures(IMAGES)
    wrong = [
        (ImageChanges(tokens({4: 2})), r"changes of layers \[4\], but the image tower has layers 0 to 3"),
        (ImageChanges(adapters={-1: numbers}), r"changes of layers \[-1\]"),
        (ImageChanges(deltas={(0, "qk"): None}), r"changes of matrices \['qk'\]; choose from q, k, v, o, fc, proj"),
        (ImageChanges({0: numbers(2, 32)}), r"deep_prompts\[0\] has shape \(2, 32\), expected \(S, M, 32\)"),
        (ImageChanges(inserted={0: numbers(1, 2, 16)}), r"inserted\[0\] has shape \(1, 2, 16\), expected"),
        (low((1, 2, 16), (1, 32, 2)), r"deltas\[\(0, 'q'\)\].down has shape \(1, 2, 16\), expected \(S, r, 32\)"),
        (low((1, 2, 32), (1, 16, 2)), r"deltas\[\(0, 'q'\)\].up has shape \(1, 16, 2\), expected \(S, 32, r\)"),
        (low((2, 2, 32), (3, 32, 2)), r"images and changes have different numbers of seeds: \[2, 3\]"),
    ]
    for changes, message in wrong:
        with pytest.raises(ValueError, match=message):
            tower.encode(pixels, changes)
    with pytest.raises(ValueError, match=r"different numbers of seeds: \[2, 3\]"):
        tower.encode(pictures(2, IMAGES), ImageChanges(tokens({0: 2}, seeds=3)))
    with pytest.raises(ValueError, match=r"changes of layers \[1\], but the states are those before layer 2"):
        tower.encode(tower.states(pixels, 2), ImageChanges(tokens({1: 2, 3: 2})))
    with pytest.raises(ValueError, match="layer 4, but the image tower has layers 0 to 3"):
        tower.states(pixels, 4)


def test_every_change_has_a_case_here():
    cases = [make() for make in CHANGES.values()]
    assert all(any(getattr(changes, field.name) for changes in cases) for field in fields(ImageChanges))
