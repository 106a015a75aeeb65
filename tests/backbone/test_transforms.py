import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import InterpolationMode

from cocoop.backbone.transforms import CROP_RATIO, CROP_SCALE, Preprocessing, draw_window, view_key
from tests.reference import golden_images, goldens

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
CLIP = Preprocessing(32, MEAN, STD)


def test_test_transform_is_the_references():
    pixels = CLIP.normalise(torch.stack([torch.from_numpy(CLIP.test(image)) for image in golden_images()]))
    assert torch.equal(pixels, torch.from_numpy(goldens()["pixels"]))


def test_squash_keeps_the_complete_image():
    half_white = np.zeros((32, 64, 3), np.uint8)
    half_white[:, 32:] = 255
    crop = Preprocessing(32, MEAN, STD, "bilinear", "squash").test(Image.fromarray(half_white))
    assert crop.shape == (3, 32, 32)
    assert crop[:, :, :12].max() == 0
    assert crop[:, :, 20:].min() == 255


@pytest.mark.parametrize(
    "size", [(60, 45), (45, 60), (33, 33), (300, 4), (4, 300), (1, 1)]
)  # the thin ones need the fallback
def test_view_is_torchvisions_under_the_same_random_numbers(size):
    picture = Image.fromarray(np.random.RandomState(0).randint(0, 256, (size[1], size[0], 3), dtype=np.uint8))
    reference = transforms.Compose(
        [
            transforms.RandomResizedCrop(32, (0.08, 1.0), interpolation=InterpolationMode.BICUBIC),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )
    for epoch in range(20):
        key = view_key(1, "a.jpg", epoch)
        torch.manual_seed(key)
        assert torch.equal(CLIP.normalise(torch.from_numpy(CLIP.view(picture, key))), reference(picture))


def test_key_hangs_on_seed_path_and_epoch():
    keys = {view_key(seed, path, epoch) for seed in range(4) for path in ("a.jpg", "b/a.jpg") for epoch in range(50)}
    assert len(keys) == 400


def test_key_and_crop_stay_the_same_over_versions():
    key = view_key(1, "leopard/image_0001.jpg", 0)
    torch.manual_seed(key)
    box = transforms.RandomResizedCrop.get_params(Image.new("RGB", (500, 375)), CROP_SCALE, CROP_RATIO)
    assert (key, box) == (2618420781, (132, 50, 157, 189))
    assert draw_window(500, 375, key).box == (50, 132, 50 + 189, 132 + 157)


def test_view_neither_reads_nor_moves_the_global_generator():
    picture = golden_images()[0]
    torch.manual_seed(3)
    first, state = CLIP.view(picture, 7), torch.get_rng_state()
    torch.rand(5)
    assert np.array_equal(CLIP.view(picture, 7), first)
    torch.manual_seed(3)
    assert torch.equal(torch.get_rng_state(), state)


def test_half_the_views_are_flipped():
    ramp = Image.fromarray(np.repeat(np.arange(64, dtype=np.uint8)[None, :, None] * 4, 64, 0).repeat(3, 2))
    views = [CLIP.view(ramp, view_key(1, "ramp.png", epoch)) for epoch in range(400)]
    flipped = sum(view[:, :, 0].mean() > view[:, :, -1].mean() for view in views)
    assert 160 < flipped < 240
