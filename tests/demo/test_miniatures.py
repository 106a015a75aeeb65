"""The miniature datasets on disk: the same bytes for a seed, whole or absent, readable like any CoOp split file."""

import hashlib
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from cocoop import io
from cocoop.config.registry import Registry
from cocoop.data.readers import coop_split
from cocoop.demo.miniatures import MINIATURES, digits, draw, writing
from cocoop.errors import UserError

FEW = {"train": 2, "val": 1, "test": 1}
DRAWN = [name for name in MINIATURES if name != "digits"]


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module", params=["digits", "textures"])
def written(request, tmp_path_factory) -> tuple[str, Path]:
    folder = tmp_path_factory.mktemp("miniatures") / request.param
    draw(request.param, folder, seed=0)
    return request.param, folder


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(written, tmp_path):
    name, folder = written
    draw(name, tmp_path / "again", seed=0)
    assert contents(tmp_path / "again") == contents(folder)


def test_another_seed_deals_the_digits_otherwise():
    assert not np.array_equal(digits.split(3, seed=0)["train"], digits.split(3, seed=1)["train"])


def test_the_folder_reads_like_any_coop_split(written):
    name, folder = written
    listing = coop_split.read({"kind": "coop_split", "file": "split.json", "images": "images"}, folder)
    assert listing.classnames == MINIATURES[name].classes
    paths = [item.path for items in listing.splits.values() for item in items]
    assert len(paths) == len(set(paths)) == len(list((folder / "images").rglob("*.png")))
    for path in paths:
        with Image.open(folder / path) as image:
            image.load()
            assert image.size == (64, 64) and image.mode in ("RGB", "L")


def test_splits_share_no_images_unless_the_source_does(written):
    name, folder = written
    seen = Counter(hashlib.sha256(path.read_bytes()).hexdigest() for path in (folder / "images").rglob("*.png"))
    distinct = len({image.tobytes() for image in load_digits().images}) if name == "digits" else sum(seen.values())
    assert len(seen) == distinct


def test_a_drawing_replaces_an_earlier_one_without_leftovers(tmp_path):
    (tmp_path / "digits").mkdir()
    draw("digits", tmp_path / "digits", seed=3)
    (tmp_path / "digits" / "images" / "stray.png").write_bytes(b"")
    draw("digits", tmp_path / "digits", seed=4)
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
    assert sorted(path.name for path in (tmp_path / "digits").iterdir()) == ["images", "split.json"]
    assert not (tmp_path / "digits" / "images" / "stray.png").exists()


def test_an_interrupted_drawing_leaves_nothing(tmp_path, monkeypatch):
    saved = []

    def stop_after_ten(image, path, **options):
        saved.append(path)
        if len(saved) > 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(writing.Image.Image, "save", stop_after_ten)
    with pytest.raises(KeyboardInterrupt):
        draw("shapes", tmp_path / "shapes")
    assert len(saved) == 11 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", DRAWN)
def test_every_class_has_a_separate_generator(name):
    groups = list(writing.groups(name, 0, FEW))
    assert Counter((group.split, group.label) for group in groups) == {
        (split, label): 1 for split in FEW for label in range(len(MINIATURES[name].classes))
    }
    assert all(group.pixels.shape == (FEW[group.split], 64, 64, 3) for group in groups)
    assert all(group.pixels.std() > 3 for group in groups)
    again = {(group.split, group.label): group.pixels for group in writing.groups(name, 0, FEW)}
    assert all(np.array_equal(again[group.split, group.label], group.pixels) for group in reversed(groups))
    assert len({group.pixels[0].tobytes() for group in groups}) == len(groups)
    other = next(writing.groups(name, 1, FEW))
    assert not np.array_equal(other.pixels, groups[0].pixels)


def test_the_digits_are_the_real_ones():
    source = load_digits()
    parts = {label: digits.split(label, seed=5) for label in range(10)}
    for label, splits in parts.items():
        drawn = np.concatenate(list(splits.values()))
        own = source.images[source.target == label]
        assert Counter(map(bytes, drawn)) == Counter(digits.enlarged(image).tobytes() for image in own)
        assert [round(len(splits[split]) / len(own), 1) for split in ("train", "val", "test")] == [0.5, 0.2, 0.3]
    assert sum(len(part) for splits in parts.values() for part in splits.values()) == 1797
    shown = Image.fromarray(parts[7]["test"][0]).crop((6, 6, 58, 58)).resize((8, 8), Image.Resampling.BOX)
    distances = np.abs(source.images / 16 - np.asarray(shown) / 255).mean((1, 2))
    assert source.target[distances.argmin()] == 7 and distances.min() < 0.08


def test_shifted_variants_share_classes_and_prompt():
    family = [MINIATURES[name] for name in MINIATURES if name.startswith("shapes")]
    assert len(family) >= 3
    assert len({miniature.classes for miniature in family}) == len({miniature.template for miniature in family}) == 1


@pytest.mark.parametrize("name, word, times", [("shapes", 0, 2), ("counts", 0, 2), ("shapes", 1, 2)])
def test_both_halves_are_alike_by_construction(name, word, times):
    classes = MINIATURES[name].classes
    half = math.ceil(len(classes) / 2)
    for part in (classes[:half], classes[half:]):
        assert set(Counter(classname.split()[word] for classname in part).values()) == {times}


@pytest.mark.parametrize("name", MINIATURES)
def test_the_dataset_file_matches_the_drawing(name):
    miniature, spec = MINIATURES[name], Registry().dataset(name, "test")
    counts = Counter(group.split for group in writing.groups(name, 0, FEW) for _ in group.pixels)
    if miniature.paint is not None:
        counts = {split: number * len(miniature.classes) for split, number in writing.SIZES.items()}
    assert (spec.title, spec.template) == (miniature.title, miniature.template)
    assert spec.settings["classes"] == len(miniature.classes) == len(set(miniature.classes))
    assert spec.sizes == dict(counts)
    assert spec.settings["class_list_sha256"] == io.sha256_text("\n".join(miniature.classes))
    assert spec.settings["miniature"] == {"name": name, "seed": 0}


def test_wrong_requests_are_one_line_and_write_nothing(tmp_path):
    with pytest.raises(
        UserError, match="miniature: unknown miniature dataset 'digit'; known: counts, .* mean 'digits'"
    ):
        draw("digit", tmp_path / "new")
    with pytest.raises(UserError, match="miniature 'digits': seed: expected 0 or more, got -1."):
        draw("digits", tmp_path / "new", seed=-1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("precious")
    with pytest.raises(
        UserError, match=r"mine: contains other files; use a new or empty folder for miniature 'digits'."
    ):
        draw("digits", tmp_path / "mine")
    with pytest.raises(UserError, match=r"thesis.tex: is a file; miniature 'digits' needs a folder."):
        draw("digits", tmp_path / "mine" / "thesis.tex")
    with pytest.raises(
        UserError, match=r"thesis.tex: cannot be written \(Not a directory|thesis.tex: cannot be written \(File exists"
    ):
        draw("digits", tmp_path / "mine" / "thesis.tex" / "below")
    assert contents(tmp_path) == {"mine/thesis.tex": b"precious"}


def test_drawing_does_not_import_torch():
    code = "import sys, cocoop.demo.miniatures.writing as w; next(w.groups('shapes')); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=io.REPOSITORY).returncode == 0


def test_digits_are_those_that_scikit_learn_loads():
    images, labels = digits._source()
    assert np.array_equal(images, load_digits().images)
    assert np.array_equal(labels, load_digits().target)
