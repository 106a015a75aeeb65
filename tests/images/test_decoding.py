"""Decoding and cropping in processes: the right crops in shared memory, processes that stay and end, and the limiting step."""

import multiprocessing
import os
import time

import numpy as np
import pytest
import torch

from cocoop import progress
from cocoop.backbone.transforms import Preprocessing, view_key
from cocoop.data.images import open_rgb
from cocoop.errors import UserError
from cocoop.images import features
from cocoop.images.decoding import AHEAD, Decoder, Task
from cocoop.images.pace import slowest
from tests.training.test_no_waiting import Watched


@pytest.fixture
def tasks(root, manifest):
    """24 pictures; every third has two views."""
    paths = [item.path for item in manifest.splits["train"]]
    keys = [(view_key(1, path, 0), view_key(1, path, 1)) if n % 3 == 0 else () for n, path in enumerate(paths)]
    return [Task(root / path, of) for path, of in zip(paths, keys, strict=True)]


@pytest.fixture
def decoder(backbone):
    return lambda workers: Decoder(backbone.preprocessing, workers, "here")


def expected(task, preprocessing):
    picture = open_rgb(task.path)
    return np.stack([preprocessing.view(picture, key) for key in task.keys] or [preprocessing.test(picture)])


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_no_crop_is_overwritten_while_it_is_read(decoder, tasks, backbone, workers):
    """With more batches than slots, a reader that is slower than the processes, and batches of different sizes."""
    batches = [tasks[at : at + 2] for at in range(0, 23, 2)] + [tasks[:1]]
    assert len(batches) > AHEAD * workers + 1
    for crops, batch in zip(decoder(workers).crops(batches), batches, strict=True):
        time.sleep(0.02)
        assert np.array_equal(crops, np.concatenate([expected(task, backbone.preprocessing) for task in batch]))


def test_processes_stay_for_all_rounds_and_are_joined_by_others(decoder, tasks, tmp_path, monkeypatch):
    original = Preprocessing.test

    def noted(self, image):
        (tmp_path / str(os.getpid())).touch()
        return original(self, image)

    monkeypatch.setattr(Preprocessing, "test", noted)
    two, plain = decoder(2), [[task] for task in tasks if not task.keys]
    for _ in range(3):
        assert len(list(two.crops(plain))) == 16
    assert 1 <= len(list(tmp_path.iterdir())) <= 2
    one = decoder(2)
    assert len(list(one.crops(plain[:1]))) == 1  # one batch needs one process
    assert one.pool.workers == 1
    assert len(list(one.crops(plain))) == 16
    assert one.pool.workers == 2


def test_a_round_may_have_larger_batches_or_none(decoder, tasks):
    two = decoder(2)
    assert list(two.crops([])) == []
    assert [len(crops) for crops in two.crops([tasks[:1], tasks[1:2]])] == [2, 1]
    assert [len(crops) for crops in two.crops([tasks[:6]] * 8)] == [8] * 8


@pytest.mark.parametrize("end", ["the last round", "a corrupt picture", "a reader that stops"])
def test_no_process_outlives_its_use(decoder, tasks, tmp_path, end):
    (tmp_path / "cut.png").write_bytes(b"no picture")
    before = set(multiprocessing.active_children())
    two, more = decoder(2), [*tasks, Task(tmp_path / "cut.png")] * 2
    if end == "a corrupt picture":
        with pytest.raises(UserError, match=r"cut\.png: unreadable image"):
            list(two.crops([[task] for task in more]))
    elif end == "a reader that stops":
        reader = two.crops([[task] for task in more])
        next(reader)
        reader.close()
    else:
        list(two.crops([[task] for task in tasks]))
        assert len(set(multiprocessing.active_children()) - before) == 2
        del two
    assert set(multiprocessing.active_children()) <= before


@pytest.mark.parametrize(
    ("decoding", "cropping", "encoding", "workers", "limit"),
    [
        (1, 2, 3, 0, "encoding"),
        (4, 2, 3, 0, "decoding"),
        (1, 4, 3, 0, "cropping"),
        (4, 4, 9, 1, "encoding"),
        (3, 4, 6, 1, "cropping"),  # each alone is shorter, but one process does both
        (3, 4, 6, 2, "encoding"),
        (30, 12, 6, 4, "decoding"),
    ],
)
def test_the_slowest_of_three_limits(decoding, cropping, encoding, workers, limit):
    assert slowest(decoding, cropping, encoding, workers) == limit


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("slow", ["decoding", "cropping", "encoding"])
def test_the_rate_says_what_limits_it(backbone, manifest, root, tmp_path, monkeypatch, capsys, slow, workers):
    def slowed(original):
        return lambda *args: (time.sleep(0.02), original(*args))[1]

    monkeypatch.setattr(progress, "LOG_INTERVAL_SECONDS", 0.0)
    if slow == "decoding":
        monkeypatch.setattr("cocoop.images.decoding.open_rgb", slowed(open_rgb))
    elif slow == "cropping":
        monkeypatch.setattr(Preprocessing, "test", slowed(Preprocessing.test))
    else:
        monkeypatch.setattr(Preprocessing, "normalise", slowed(Preprocessing.normalise))
    of_each = 1 if slow == "encoding" else 4
    features.extract_test(backbone, manifest, root, "train", tmp_path / "f.st", of_each, workers)
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"image/s, limited by {slow}]")


def test_encoding_a_batch_waits_for_nothing(backbone):
    """As in training: an operation that would wait for a GPU fails. The constants of a device are copied to it once."""
    crops = torch.zeros(2, 3, backbone.image_size, backbone.image_size, dtype=torch.uint8)
    backbone.preprocessing.normalise(crops)
    with Watched() as watched:
        backbone.encode_images(backbone.preprocessing.normalise(crops))
    assert "convolution" in watched.seen
