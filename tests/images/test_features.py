import multiprocessing
import os
import signal
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from cocoop import io, provenance
from cocoop.backbone.transforms import Preprocessing
from cocoop.errors import UserError
from cocoop.images import decoding, extraction, feature_file, features
from cocoop.manifest import Item, Manifest
from tests.images.pictures import load_golden
from tests.reference import goldens

SMALL = {"batch_size": 4}  # with PART_ROWS = 8: parts of two batches


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(extraction, "PART_ROWS", 8)


@pytest.fixture
def decoded(monkeypatch):
    """Names of the pictures decoded in this process."""
    names = []

    def counted(path):
        names.append(path.name)
        return original(path)

    original = decoding.open_rgb
    monkeypatch.setattr(decoding, "open_rgb", counted)
    return names


def test_features_and_labels_are_in_manifest_order(backbone, manifest, root, tmp_path):
    features.extract_test(backbone, manifest, root, "test", tmp_path / "f.safetensors")
    tensors, metadata = feature_file.load(tmp_path / "f.safetensors", "features", backbone.identity)
    expected = torch.from_numpy(goldens()["image_features"]).repeat(3, 1)
    torch.testing.assert_close(tensors["features"], expected, rtol=1e-3, atol=1e-4)
    assert tensors["labels"].tolist() == manifest.labels("test")
    assert (metadata["dataset"], metadata["split"], metadata["images"], metadata["width"]) == (
        "pictures",
        "test",
        18,
        64,
    )
    assert metadata["classnames"] == list(manifest.classnames)
    assert metadata["manifest"] == manifest.fingerprint
    assert metadata["preprocessing"] == backbone.preprocessing.settings
    assert [path.name for path in tmp_path.iterdir()] == ["f.safetensors"]


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_no_byte(backbone, manifest, root, tmp_path, small_parts, workers):
    for count in (0, workers):
        features.extract_test(backbone, manifest, root, "train", tmp_path / f"{count}.st", workers=count, **SMALL)
    assert (tmp_path / "0.st").read_bytes() == (tmp_path / f"{workers}.st").read_bytes()


def killed_at_image(number, *job):
    """Runs an extraction in a process that is killed while it works on its image of this number."""

    def run():
        original, seen = Preprocessing.test, []

        def test(self, image):
            seen.append(image)
            if len(seen) > number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, image)

        Preprocessing.test = test
        torch.set_num_threads(1)  # a fork has none of this process's OpenMP threads, and would wait for them
        features.extract_test(*job, **SMALL)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_killed_job_continues_where_it_stopped(backbone, manifest, root, tmp_path, small_parts, decoded):
    features.extract_test(backbone, manifest, root, "train", tmp_path / "whole.st", **SMALL)
    out = tmp_path / "killed.st"
    killed_at_image(18, backbone, manifest, root, "train", out)
    assert not out.exists()
    assert [path.name for path in sorted((tmp_path / "killed.st.parts").iterdir())] == [
        "000000000.safetensors", "000000008.safetensors",
    ]  # fmt: skip
    decoded.clear()
    features.extract_test(backbone, manifest, root, "train", out, **SMALL)
    assert decoded == [f"{number}.png" for number in range(16, 24)]
    assert out.read_bytes() == (tmp_path / "whole.st").read_bytes()
    assert not (tmp_path / "killed.st.parts").exists()


def test_invalid_and_corrupt_parts_are_encoded_again(backbone, manifest, root, tmp_path, small_parts, decoded):
    features.extract_test(backbone, manifest, root, "train", tmp_path / "whole.st", **SMALL)
    out, parts = tmp_path / "other.st", tmp_path / "other.st.parts"
    renamed = Manifest(manifest.dataset, ("a", "b", "c", "d"), manifest.splits)
    killed_at_image(10, backbone, renamed, root, "train", out)
    assert len(list(parts.iterdir())) == 1
    (parts / ".000000008.safetensors.x.partial").write_bytes(b"cut")
    decoded.clear()
    features.extract_test(backbone, manifest, root, "train", out, **SMALL)
    assert len(decoded) == 24
    killed_at_image(18, backbone, manifest, root, "train", out)
    damaged = parts / "000000008.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"x")
    decoded.clear()
    features.extract_test(backbone, manifest, root, "train", out, **SMALL)
    assert len(decoded) == 16
    assert out.read_bytes() == (tmp_path / "whole.st").read_bytes()


def test_log_explains_why_parts_are_not_reused(backbone, manifest, root, tmp_path, small_parts, monkeypatch, caplog):
    caplog.set_level("INFO")
    here = provenance.computed_on("cpu")

    def said(of, **changes):
        killed_at_image(18, backbone, of, root, "train", tmp_path / "f.st")
        monkeypatch.setattr("cocoop.provenance.computed_on", lambda device: here)
        caplog.clear()
        features.extract_test(backbone, manifest, root, "train", tmp_path / "f.st", **SMALL | changes)
        return caplog.messages[0].split(" that cannot be reused ")[-1]

    renamed = Manifest(manifest.dataset, ("a", "b", "c", "d"), manifest.splits)
    assert said(renamed) == f"(classnames; manifest {renamed.fingerprint[:12]}.., now {manifest.fingerprint[:12]}..)"
    assert said(manifest, batch_size=2) == "(different images, views or batches)"
    monkeypatch.setattr("cocoop.provenance.computed_on", lambda device: here | {"device": "NVIDIA A100"})
    assert said(manifest) == "(device NVIDIA A100, now cpu)"


@pytest.mark.parametrize("workers", [0, 2])
def test_unreadable_picture_is_named_in_one_line(backbone, manifest, root, tmp_path, workers):
    cut = tmp_path / "cut.png"
    cut.write_bytes((root / "train/4.png").read_bytes()[:900])
    broken = Manifest("pictures", manifest.classnames, {"test": (*manifest.splits["test"], Item(str(cut), 1))})
    with pytest.raises(UserError) as error:
        features.extract_test(backbone, broken, root, "test", tmp_path / "f.st", workers=workers)
    assert str(error.value).startswith(f"{cut}: unreadable image (")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "f.st").exists()


def test_split_without_images_is_refused(backbone, root, tmp_path):
    with pytest.raises(UserError, match="dataset 'bare' has no images in its test split, so none can be encoded"):
        features.extract_test(backbone, Manifest("bare", ("a",), {}), root, "test", tmp_path / "f.st")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("precision", "advice"), [("fp32", "check its weights"), ("fp16", "try precision fp32 instead of fp16")]
)
def test_features_that_are_not_finite_name_the_image(tmp_path, precision, advice):
    def nan_for_white(pixels):  # (B, 3, H, W) -> (B, 64)
        return torch.where(pixels.amax((1, 2, 3)) > 2, torch.nan, 0.0)[:, None].expand(-1, 64)

    golden = load_golden(tmp_path)
    golden.model.encode_image = nan_for_white
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    Image.new("RGB", (40, 40), "black").save(tmp_path / "black.png")
    two = Manifest("two", ("a",), {"test": (Item("black.png", 0), Item("white.png", 0))})
    with pytest.raises(UserError) as error:
        loaded = replace(golden, spec=replace(golden.spec, precision=precision))
        features.extract_test(loaded, two, tmp_path, "test", tmp_path / "f.st")
    assert str(error.value) == (
        f"{tmp_path / 'white.png'}: backbone 'golden' gives NaN or infinity for this image of dataset 'two'; {advice}."
    )


def test_death_of_a_worker_is_one_line(backbone, manifest, root, tmp_path, monkeypatch):
    monkeypatch.setattr(Preprocessing, "test", lambda self, image: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(
        UserError, match="a process that decodes images died, perhaps out of memory; use fewer --workers"
    ):
        features.extract_test(backbone, manifest, root, "test", tmp_path / "f.st", workers=1)


def test_what_differs_is_named_on_use(backbone, manifest, root, tmp_path):
    path = tmp_path / "f.st"
    features.extract_test(backbone, manifest, root, "test", path)
    expect = backbone.identity | {"backbone_fingerprint": "0" * 64, "manifest": "f" * 64, "precision": "bf16"}
    with pytest.raises(UserError) as error:
        feature_file.load(path, "features", expect)
    assert str(error.value) == (
        f"{path}: made with backbone fingerprint {backbone.fingerprint[:12]}.., but this run uses 000000000000..; "
        "with precision fp32, but this run uses bf16; "
        f"with manifest {manifest.fingerprint[:12]}.., but this run uses ffffffffffff..; delete it and run again."
    )
    with pytest.raises(UserError, match="not a valid views file"):
        feature_file.load(path, "views", {})
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(
        UserError, match="not a valid features file .corrupt or from another program.; delete it and run again"
    ):
        feature_file.load(path, "features", {})


def test_writing_in_blocks_gives_the_same_file(tmp_path):
    values = np.arange(3 * 5 * 7, dtype=np.float32).reshape(3, 5, 7)  # an odd number of values
    labels = np.array([3, 1, 2])
    metadata = {"kind": "features", "classnames": ["café", 'a "b"']}
    blocks = [
        feature_file.Block("x10.features", start, values.reshape(-1)[start : start + 35]) for start in (70, 0, 35)
    ]
    shapes = {"x10.features": values.shape, "x2.features": (1, 2)}
    blocks.append(feature_file.Block("x2.features", 0, np.array([8.0, 9.0], np.float32)))
    feature_file.write(tmp_path / "f.st", {"x10.labels": labels}, shapes, blocks, metadata)
    tensors, read = io.read_tensors(tmp_path / "f.st", "features")
    assert read == metadata
    assert torch.equal(tensors["x10.features"], torch.from_numpy(values))
    assert tensors["x2.features"].tolist() == [[8, 9]]
    assert tensors["x10.labels"].tolist() == [3, 1, 2]


def test_writing_does_not_hold_the_file_in_memory(tmp_path):
    blocks = (
        feature_file.Block("features", at * 250_000, np.full(250_000, at, np.float32)) for at in range(40)
    )  # 40 MB
    tracemalloc.start()
    feature_file.write(
        tmp_path / "f.st", {"labels": np.zeros(40, np.int64)}, {"features": (40, 250_000)}, blocks, {"kind": "x"}
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8e6
    assert io.read_tensors(tmp_path / "f.st", "x")[0]["features"][:, 0].tolist() == list(range(40))
