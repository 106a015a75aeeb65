import multiprocessing
import os
import signal

import pytest
import torch
from PIL import Image

from cocoop import splits
from cocoop.backbone.transforms import Preprocessing, view_key
from cocoop.data.images import reader_of
from cocoop.errors import UserError
from cocoop.images import decoding, extraction, feature_file, features, views
from cocoop.images.live import Live
from cocoop.manifest import Item, Manifest
from tests.images.pictures import few_shot


@pytest.fixture(scope="module")
def selections(root, manifest):
    return {seed: few_shot(root, manifest, shots=3, seed=seed) for seed in (2, 10)}


@pytest.fixture
def extract(backbone, manifest, root, tmp_path):
    """Extracts into a new file and reads it back."""

    def run(selections, subset, epochs, name="v.st", **options):
        views.extract(backbone, manifest, root, selections, subset, epochs, tmp_path / name, **options)
        return feature_file.load(tmp_path / name, "views", backbone.identity)

    return run


def near(a, b):
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_file_describes_its_content(extract, manifest, selections):
    tensors, metadata = extract(selections, "new", range(2, 5))
    assert {name: tuple(tensor.shape) for name, tensor in tensors.items()} == {
        "seed2.features": (3, 6, 64), "seed2.labels": (6,), "seed10.features": (3, 6, 64), "seed10.labels": (6,),
    }  # fmt: skip
    assert {key: metadata[key] for key in ("dataset", "subset", "shots", "seeds", "epochs", "width")} == {
        "dataset": "pictures", "subset": "new", "shots": 3, "seeds": [2, 10], "epochs": [2, 5], "width": 64,
    }  # fmt: skip
    assert metadata["manifest"] == manifest.fingerprint


def test_features_are_those_of_the_live_views(extract, backbone, manifest, root, selections):
    tensors, _ = extract(selections, "base", range(3, 6), batch_size=5)
    for seed, selection in selections.items():
        selected = views.select(manifest, selection, "base")
        for epoch in range(3, 6):
            live = Live(backbone, root, {seed: selected}, 10, 0)
            (pixels,) = live.batches(epoch + 10, torch.arange(live.images)[None], live.images, 1)  # (1, N, 3, H, W)
            near(tensors[f"seed{seed}.features"][epoch - 3], backbone.encode_images(pixels[0]))
            assert tensors[f"seed{seed}.labels"].tolist() == list(selected.labels)


def test_a_view_hangs_on_seed_image_and_epoch_alone(extract, selections):
    wide, _ = extract(selections, "all", range(8), "wide.st")
    base, _ = extract({2: selections[2]}, "base", range(5, 8), "base.st")
    inside = wide["seed2.labels"] < 2
    near(base["seed2.features"], wide["seed2.features"][5:, inside])
    assert torch.equal(base["seed2.labels"], wide["seed2.labels"][inside])
    flat = torch.cat([wide["seed2.features"].flatten(0, 1), wide["seed10.features"].flatten(0, 1)])
    assert len(flat.unique(dim=0)) == len(flat)  # every image, epoch and seed has a view of its own


def test_images_are_in_draw_order_with_subset_labels(manifest, selections):
    drawn = selections[2]["train"]
    whole, new = (views.select(manifest, selections[2], subset) for subset in ("all", "new"))
    assert whole.paths == tuple(manifest.splits["train"][position].path for position in drawn)
    assert whole.labels == tuple(selections[2]["labels"])
    assert new.paths == tuple(manifest.splits["train"][p].path for p in drawn if manifest.splits["train"][p].label >= 2)
    assert new.labels == tuple(label - 2 for label in selections[2]["labels"] if label >= 2)


def test_plain_images_take_the_test_transform(extract, backbone, manifest, root, selections):
    tensors, metadata = extract({2: selections[2]}, "all", None)
    pictures = [decoding.open_rgb(root / path) for path in views.select(manifest, selections[2], "all").paths]
    crops = torch.stack([torch.from_numpy(backbone.preprocessing.test(picture)) for picture in pictures])
    near(tensors["seed2.features"], backbone.encode_images(backbone.preprocessing.normalise(crops))[None])
    assert metadata["epochs"] is None


def test_an_image_is_decoded_once_for_all_its_views(extract, selections, monkeypatch):
    original, decoded = decoding.open_rgb, []
    monkeypatch.setattr(decoding, "open_rgb", lambda path: decoded.append(path) or original(path))
    extract({2: selections[2]}, "all", range(20))
    assert len(decoded) == 12


def killed_at_view(number, *job, **options):
    """Runs an extraction in a process that is killed while it makes its view of this number."""

    def run():
        original, seen = Preprocessing.view, []

        def view(self, image, key):
            seen.append(key)
            if len(seen) > number:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(self, image, key)

        Preprocessing.view = view
        views.extract(*job, **options)

    process = multiprocessing.get_context("fork").Process(target=run)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


def test_neither_workers_nor_a_kill_change_a_byte(backbone, manifest, root, selections, tmp_path, monkeypatch):
    monkeypatch.setattr(extraction, "PART_ROWS", 15)  # parts of five images: one spans both seeds
    job = (backbone, manifest, root, selections, "all", range(3))
    views.extract(*job, tmp_path / "alone.st", batch_size=15)
    views.extract(*job, tmp_path / "two.st", batch_size=15, workers=2)
    killed_at_view(50, *job, tmp_path / "killed.st", batch_size=15)
    assert len(list((tmp_path / "killed.st.parts").iterdir())) == 3
    views.extract(*job, tmp_path / "killed.st", batch_size=15)
    alone = (tmp_path / "alone.st").read_bytes()
    assert alone == (tmp_path / "two.st").read_bytes()
    assert alone == (tmp_path / "killed.st").read_bytes()


def test_selection_of_another_manifest_is_refused(extract, backbone, root, manifest, selections, tmp_path):
    other = Manifest("pictures", ("a", "b", "c", "d"), manifest.splits)
    with pytest.raises(
        UserError, match="the selection of seed 2 was drawn from another manifest; delete it and run again"
    ):
        views.extract(backbone, other, root, selections, "all", range(1), tmp_path / "v.st")


def test_nothing_to_make_is_refused(extract, root, manifest, selections):
    with pytest.raises(UserError, match="no views to make"):
        extract({}, "all", range(3))
    with pytest.raises(UserError, match="no views to make"):
        extract(selections, "all", range(3, 3))
    with pytest.raises(UserError, match=r"selections of different shots \(1, 3\) cannot share a file"):
        extract({**selections, 1: few_shot(root, manifest, 1, 1)}, "all", range(1))


def test_subset_without_classes_is_refused(backbone, root, manifest, tmp_path):
    one = Manifest("one", ("face",), {"train": tuple(i for i in manifest.splits["train"] if i.label == 0)})
    splits.save_few_shot(tmp_path / "s.json", one, 1, 1)
    with pytest.raises(UserError, match="dataset 'one' has no training images in its 'new' subset"):
        views.extract(
            backbone, one, root, {1: splits.load_few_shot(tmp_path / "s.json")}, "new", range(1), tmp_path / "v.st"
        )


def test_live_views_in_workers_follow_the_order_of_each_seed(backbone, manifest, root, selections):
    selected = {seed: views.select(manifest, selections[seed], "all") for seed in (2, 10)}
    live = Live(backbone, root, selected, 50, 2)
    visit = torch.stack([torch.randperm(live.images) for _ in selected])
    batches = list(live.batches(4, visit, 5, 2))
    assert [batch.shape[:2] for batch in batches] == [(2, 5), (2, 5)]
    for row, (seed, of) in enumerate(selected.items()):
        path = of.paths[visit[row, 7]]
        expected = backbone.preprocessing.view(decoding.open_rgb(root / path), view_key(seed, path, 4))
        assert torch.equal(batches[1][row, 2], backbone.preprocessing.normalise(torch.from_numpy(expected)))


def test_live_images_as_they_are(backbone, manifest, root, selections):
    selected = {2: views.select(manifest, selections[2], "all")}
    (pixels,) = Live(backbone, root, selected, 0, 0).batches(3, torch.tensor([[1, 0]]), 2, 1)
    expected = backbone.preprocessing.test(decoding.open_rgb(root / selected[2].paths[1]))
    assert torch.equal(pixels[0, 0], backbone.preprocessing.normalise(torch.from_numpy(expected)))


def test_transparent_images_on_white_reach_every_stage(backbone, tmp_path):
    """Features of test images, views, and live pixels are those of the images on white if the manifest says so."""
    items = [Item(f"{n}.png", n % 2) for n in range(4)]
    for n, item in enumerate(items):
        Image.new("RGBA", (32, 32), (40 * n, 0, 0, 60)).save(tmp_path / item.path)
    for on_white in (False, True):
        parts = {"train": tuple(items), "test": tuple(items)}
        made = Manifest("icons", ("a", "b"), parts, on_white=on_white)
        pixel = backbone.preprocessing.test(reader_of(on_white)(tmp_path / "0.png"))[:, 16, 16].tolist()
        drawn = few_shot(tmp_path, made, 1, 1)
        selected = views.select(made, drawn, "all")
        tasks = views.tasks(tmp_path, 1, selected, None)
        assert [task.on_white for task in tasks] == [on_white] * 2
        first = decoding.Task(tmp_path / "0.png", on_white=on_white)
        (crops,) = decoding.Decoder(backbone.preprocessing, 0, "").crops([[first]])
        assert crops[0, :, 16, 16].tolist() == pixel and (pixel[1] > 100) == on_white
        features.extract_test(backbone, made, tmp_path, "test", tmp_path / f"{on_white}.st")
    one, other = (feature_file.load(tmp_path / f"{on}.st", "features", backbone.identity)[0] for on in (False, True))
    assert not torch.equal(one["features"], other["features"])
