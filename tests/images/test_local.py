"""Cached local features: their files, what a training and a test read of them, and that no run takes a file of the other kind."""

from dataclasses import replace

import pytest
import torch

from cocoop.backbone.local import local_encoder
from cocoop.errors import UserError
from cocoop.evaluation.predict import most_at_once
from cocoop.images import cached, decoding, extraction, feature_file, features, views
from cocoop.images.cached import Cached, CachedLocal
from cocoop.images.inputs import made_with
from tests.images.pictures import few_shot
from tests.runs import run_of

SEEDS, TOKENS = (2, 10), 1 + 16


@pytest.fixture(scope="module")
def selections(root, manifest):
    return {seed: few_shot(root, manifest, shots=3, seed=seed) for seed in SEEDS}


@pytest.fixture(scope="module")
def files(backbone, manifest, root, selections):
    """Views 0-2 and 2-5, and test features, with local ones and without."""
    for local in (True, False):
        features.extract_test(backbone, manifest, root, "test", root / f"test-{local}", local=local)
        for epochs in (range(2), range(2, 5)):
            out = root / f"{epochs.start}-{local}"
            views.extract(backbone, manifest, root, selections, "all", epochs, out, local=local)
    return root


@pytest.fixture
def run(backbone):
    given = {"backbone": backbone.spec, "dataset": "pictures", "shots": 3, "seeds": SEEDS, "views": 5}
    return run_of("plot", **given)


def views_of(run, files, fingerprint):
    paths = [files / f"{start}-{run.local}" for start in (0, 2)]
    return cached.load_views(run, paths, fingerprint, torch.device("cpu"))


def test_a_file_holds_the_global_feature_and_the_local_ones(files, backbone, root, manifest):
    (tensors, metadata), (plain, _) = (
        feature_file.load(files / f"test-{local}", "features", {}) for local in (True, False)
    )
    found = tensors["features"]
    assert metadata["local"] is True
    assert (found.dtype, tuple(found.shape)) == (torch.float16, (18, TOKENS, 64))
    torch.testing.assert_close(found[:, 0].float(), plain["features"], rtol=2e-3, atol=2e-3)
    path = root / manifest.splits["test"][4].path
    crop = torch.from_numpy(backbone.preprocessing.test(decoding.open_rgb(path)))[None]
    expected = local_encoder(backbone)(backbone.preprocessing.normalise(crop))
    torch.testing.assert_close(found[4:5].float(), expected, rtol=2e-3, atol=2e-3)


def test_views_on_disk_are_batches_as_from_memory(files, run, backbone):
    images = views_of(run, files, backbone.fingerprint)
    assert isinstance(images.source, CachedLocal) and images.frozen is images.source
    whole = images.source.features
    assert tuple(whole.shape) == (2, 5, 12, TOKENS, 64)
    visit = torch.stack([torch.randperm(12, generator=torch.Generator().manual_seed(seed)) for seed in SEEDS])
    for epoch in (0, 3, 6):
        pairs = zip(images.source.batches(epoch, visit, 5, 2), Cached(whole).batches(epoch, visit, 5, 2), strict=True)
        assert all(torch.equal(found.float(), expected) for found, expected in pairs)
    alone = images.of_seed(1)
    assert alone.frozen is alone.source
    (found,) = alone.source.batches(4, visit[1:], 12, 1)
    assert torch.equal(found.float(), whole[1:, 4, visit[1]])


def test_test_features_are_read_in_batches(files, run, backbone):
    found = cached.load_test(files / "test-True", made_with(run, backbone.fingerprint), torch.zeros(1))
    batches = list(found.batches(torch.tensor([3, 1, 17]), 2))
    assert [tuple(batch.shape) for batch in batches] == [(2, TOKENS, 64), (1, TOKENS, 64)]
    whole, _ = feature_file.load(files / "test-True", "features", {})
    assert torch.equal(torch.cat(batches), whole["features"][[3, 1, 17]].float())
    assert found.tokens == TOKENS


@pytest.mark.parametrize("needs", [("local_features",), ()])
def test_a_file_of_the_other_kind_is_refused(needs, files, run, backbone):
    run = replace(run, needs=needs)
    with pytest.raises(UserError, match="made with local (null, but this run uses true|true, but this run uses null)"):
        cached.load_test(files / f"test-{not run.local}", made_with(run, backbone.fingerprint), torch.zeros(1))
    with pytest.raises(UserError, match="made with local"):
        cached.load_views(run, [files / f"0-{not run.local}"], backbone.fingerprint, torch.device("cpu"))


def test_a_stopped_extraction_of_local_features_continues(files, backbone, manifest, root, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "PART_ROWS", 8)
    options = {"batch_size": 4, "local": True}
    features.extract_test(backbone, manifest, root, "test", tmp_path / "whole", **options)
    original, left = decoding.open_rgb, [10]

    def stopping(path):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return original(path)

    monkeypatch.setattr(decoding, "open_rgb", stopping)
    with pytest.raises(KeyboardInterrupt):
        features.extract_test(backbone, manifest, root, "test", tmp_path / "stopped", **options)
    assert len(list((tmp_path / "stopped.parts").iterdir())) == 1
    left[0] = 10
    features.extract_test(backbone, manifest, root, "test", tmp_path / "stopped", **options)
    assert (tmp_path / "stopped").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_batch_of_local_features_fits_the_budget():
    assert most_at_once(3, 100, 512, 1, 2048) == 500
    at_once = most_at_once(3, 1000, 512, 197, 2048)
    similarities = 3 * 1000 * at_once * 196 * 4 * 4  # seeds, classes, images, places, prompts of PLOT, bytes
    assert similarities * 2.5 < 2048 * 2**20 < similarities * 5
