"""A learned prompt in Python: the same numbers as the stages, any kind of picture, any class names."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import cocoop
from cocoop import io
from cocoop.cli import main
from cocoop.errors import UserError
from cocoop.planning import Plan, files
from cocoop.planning.jobs import jobs_of
from cocoop.planning.stages import EVALUATE, ORDER, TRAIN
from tests.api.conftest import EPOCHS, line_of, train


def test_five_lines_without_torch_at_import():
    code = "import sys, cocoop; sys.exit('torch' in sys.modules or 'load' not in dir(cocoop))"
    assert subprocess.run([sys.executable, "-c", code], cwd=io.REPOSITORY).returncode == 0
    with pytest.raises(AttributeError, match="has no attribute 'lod'"):
        _ = cocoop.lod
    assert cocoop.UserError is UserError


def test_training_gives_the_numbers_of_the_workflow(digits, run_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COCOOP_DEVICE", "cpu")
    experiment = {"variants": ["clip", "coop"], "train_datasets": ["digits"], "shots": [4]}
    config = files.load() | {
        "data_root": str(digits.data_root), "seeds": [1], "seeds_per_job": 1, "backbone": "tiny", "views": "plain",
        "variants": {"coop": {"training": {"epochs": EPOCHS}}}, "experiments": {"base_to_new": experiment},
    }  # fmt: skip
    made = {}
    for job in jobs_of(Plan(config)):
        if ORDER.index(job.stage) <= ORDER.index(EVALUATE):
            assert main(job.command) == 0
            made.setdefault(job.stage.name, job)
    learned, _ = io.read_tensors(made[TRAIN.name].outputs["learned"], "learned")
    ours, metadata = io.read_tensors(run_folder / "learned.safetensors", "learned")
    assert io.identity(metadata["run"]) == made[TRAIN.name].wildcards["id"]
    for name, tensor in learned.items():  # the workflow's number of threads may be another
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["coop", "cocoop", "tip_adapter", "taskres"])
def test_predictions_are_those_of_the_evaluation(method, digits, trained):
    compare(*trained(method), digits)


@pytest.mark.parametrize("method", ["vpt", "plot"])
def test_predictions_with_pixels_and_with_local_features(method, digits, tmp_path):
    backbone = {"vpt": "tiny_vit", "plot": "tiny"}[method]
    params = {"vision_depth": 2} if method == "vpt" else {}
    prompt = train(digits, tmp_path, method, backbone=backbone, shots=1, training={"epochs": 1}, params=params)
    compare(prompt, tmp_path, digits)


def compare(prompt, folder, digits) -> None:
    pictures, _, names = digits.of("base")
    found = prompt.predict(pictures)
    [file] = folder.glob("tests/*/*/*/predictions.safetensors")
    tensors, _ = io.read_tensors(file, "predictions")
    predicted = [digits.manifest.classnames[label] for label in tensors["seed1.base.predicted"]]
    assert found.labels == predicted and found.classnames == tuple(names)
    assert np.allclose(found.probabilities.max(1), tensors["seed1.base.confidence"], atol=1e-5)
    [result] = prompt.results
    truth = digits.of("base")[1]
    assert result["correct"] == sum(a == b for a, b in zip(found.labels, truth, strict=True))


def test_the_folder_of_another_run_is_refused(digits, run_folder):
    before = (run_folder / "learned.safetensors").read_bytes()
    with pytest.raises(UserError, match="holds the results of another run; name another folder"):
        train(digits, run_folder, "coop", shots=1)
    assert (run_folder / "learned.safetensors").read_bytes() == before


def test_zero_shot_is_the_clip_of_the_benchmark(digits, run_folder):
    pictures, _, names = digits.of("base")
    found = cocoop.zero_shot("tiny", "a photo of the {}.", device="cpu").predict(pictures, names)
    [file] = run_folder.glob("zero_shot/tests/*/*/*/predictions.safetensors")
    tensors, _ = io.read_tensors(file, "predictions")
    assert found.labels == [digits.manifest.classnames[label] for label in tensors["seed0.base.predicted"]]
    assert repr(cocoop.zero_shot("tiny", device="cpu")) == "<Prompt clip (untrained), backbone tiny, cpu>"


def test_one_picture_in_every_form_gives_the_same(prompt, digits):
    [path], _, _ = digits.of("base", 1)
    image = Image.open(path).convert("RGB")
    forms = [path, str(path), image, np.asarray(image), np.asarray(image)[None], [path], image.convert("RGBA")]
    results = [prompt.predict(form).probabilities for form in forms]
    assert all(np.array_equal(results[0], other) for other in results[1:])
    grey = np.asarray(image.convert("L"))
    assert np.allclose(prompt.predict(grey).probabilities, results[0], atol=1e-3)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8)), "picture 1: expected an array of uint8 (0..255)"),
        (np.zeros((8, 8, 2), np.uint8), "picture 1: expected an array of uint8 (0..255)"),
        (Image.new("I", (8, 8)), "picture 1: mode 'I' has more than 8 bits per value"),
        (torch.zeros(3, 8, 8), "picture 1: expected a path, a PIL image or an array of bytes, got Tensor."),
        ([], "pictures: the list is empty"),
        ("nowhere.png", "nowhere.png: no such image."),
    ],
)
def test_what_is_no_picture_is_named_in_one_line(picture, message, prompt):
    with pytest.raises(UserError) as error:
        prompt.predict(picture)
    assert message in line_of(error)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("cat", "classnames: expected a list of names, got the text 'cat'."),
        ([], "classnames: give at least one class name"),
        (["cat", "cat"], "classnames: listed twice: cat."),
        (["cat", 1], "classnames: 1 is not a class name."),
        (["a " * 80], "its prompt has"),
    ],
)
def test_class_names_that_do_not_work_are_named(names, message, prompt, digits):
    with pytest.raises(UserError) as error:
        prompt.predict(digits.of("base", 1)[0], names)
    assert message in line_of(error)


def test_features_give_the_logits(prompt, digits):
    pictures, _, names = digits.of("new", 10)
    image, text = prompt.image_features(pictures), prompt.text_features(names)
    scale = prompt.towers.text.scale
    logits = scale * torch.nn.functional.normalize(image, dim=-1) @ text.T
    assert image.shape == (10, 128) and text.shape == (5, 128)
    assert torch.allclose(logits, prompt.logits(pictures, names), atol=1e-4)


def test_text_features_of_cocoop_need_images(digits, trained):
    prompt = trained("cocoop").prompt
    pictures, _, names = digits.of("new", 4)
    with pytest.raises(UserError, match="its text features depend on the image; give images"):
        prompt.text_features(names)
    text, image = prompt.text_features(names, pictures), prompt.image_features(pictures)
    logits = prompt.towers.text.scale * torch.einsum("ne,nce->nc", torch.nn.functional.normalize(image, dim=-1), text)
    assert torch.allclose(logits, prompt.logits(pictures, names), atol=1e-4)


def test_predictions_are_readable_in_a_notebook(prompt, digits):
    pictures, _, _ = digits.of("base", 3)
    found = prompt.predict(pictures)
    assert len(found) == 3 and [guess.label for guess in found] == found.labels
    best = found.top(2)[0]
    assert best[0].probability == found.probabilities[0].max() and best[0].probability >= best[1].probability
    table = found.table(5)
    assert list(table.columns) == ["picture", "rank", "label", "probability"] and len(table) == 15
    assert table.groupby("picture")["probability"].sum().to_numpy() == pytest.approx(1)
    assert found._repr_html_().count("<tr>") == 3
    with pytest.raises(UserError, match="top: expected an integer >= 1, got 0"):
        found.top(0)


def test_a_folder_of_ones_own_is_learned(tmp_path):
    for number, name in enumerate(("red", "green", "blue")):
        for i in range(6):
            path = tmp_path / f"colours/{name}/{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            colour = [40 + 10 * i] * 3
            colour[number] = 255
            Image.new("RGB", (48, 48), tuple(colour)).save(path)
    learned = cocoop.train(tmp_path / "colours", "coop", shots=2, backbone="tiny", training={"epochs": 5}, device="cpu")
    assert learned.classnames == ("blue", "green", "red")
    assert learned.predict(tmp_path / "colours/red").pictures[0].endswith("red/0.png")
    assert learned.results[0]["total"] > 0


def test_transparent_pictures_are_seen_as_in_training(prompt, digits, tmp_path):
    """A prompt learned from transparent pictures, which its dataset pastes onto white, predicts with them on white."""
    paths, names, _ = digits.of("base")
    transparent = [with_hole(path) for path in paths[::9]]
    for number, (image, name) in enumerate(zip(transparent, names[::9], strict=True)):
        (tmp_path / "own" / name).mkdir(parents=True, exist_ok=True)
        image.save(tmp_path / "own" / name / f"{number}.png")
    settings = {"shots": 1, "backbone": "tiny", "device": "cpu", "training": {"epochs": 1}}
    own = cocoop.train(tmp_path / "own", "coop", out=tmp_path / "out", **settings)
    on_white = [Image.alpha_composite(Image.new("RGBA", image.size, "white"), image) for image in transparent]
    dropped = [image.convert("RGB") for image in transparent]
    for seen, expected, other in ((own, on_white, dropped), (prompt, dropped, on_white)):
        found = seen.logits(transparent)
        torch.testing.assert_close(found, seen.logits(expected), rtol=0, atol=0)
        assert not torch.equal(found, seen.logits(other))
    again = cocoop.load(own.export(tmp_path / "exported"), device="cpu")
    torch.testing.assert_close(again.logits(transparent), own.logits(on_white), rtol=0, atol=0)


def with_hole(path: Path) -> Image.Image:
    """A picture whose left half is transparent."""
    image = Image.open(path).convert("RGBA")
    image.paste((200, 30, 30, 0), (0, 0, image.width // 2, image.height))
    return image


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pictures": "nowhere"}, "nowhere: no such folder, table or dataset"),
        ({"method": "cop"}, "unknown variant 'cop'"),
        ({"method": "clip"}, "clip learns nothing; use cocoop.zero_shot"),
        ({"backbone": "tinny"}, "unknown backbone 'tinny'"),
        ({"shots": 0}, "shots.0: 0 is not valid"),
        ({"device": "gpu"}, "device 'gpu': expected one of auto, cpu, cuda"),
        ({"training": {"lr": "fast"}}, "lr: expected a number, got 'fast'"),
        ({"pictures": "imagenet_a"}, "is for testing only"),
    ],
)
def test_trainings_that_cannot_be_are_refused(options, message, digits, tmp_path):
    settings = {"pictures": "digits", "backbone": "tiny", "device": "cpu", "data_root": digits.data_root} | options
    before = torch.are_deterministic_algorithms_enabled(), torch.get_num_threads()
    with pytest.raises(UserError) as error:
        cocoop.train(settings.pop("pictures"), **settings, out=tmp_path / "out")
    assert message in line_of(error)
    assert not (tmp_path / "out").exists()
    assert before == (torch.are_deterministic_algorithms_enabled(), torch.get_num_threads())


def test_missing_and_damaged_runs_are_named(run_folder, tmp_path):
    for path, message in (
        (tmp_path / "nothing", "no such file or folder"),
        (tmp_path, "no prompt; expected a run's folder"),
    ):
        with pytest.raises(UserError, match=message):
            cocoop.load(path)
    content = bytearray((run_folder / "learned.safetensors").read_bytes())
    content[-5] ^= 1
    (tmp_path / "learned.safetensors").write_bytes(content)
    with pytest.raises(UserError) as error:
        cocoop.load(tmp_path)
    assert "not a valid learned file" in line_of(error)
    with pytest.raises(UserError, match="has no seed 7; it has 1"):
        cocoop.load(run_folder, seed=7)
    with pytest.raises(UserError, match="a run states its backbone; leave out backbone"):
        cocoop.load(run_folder, backbone="tiny")


def test_the_temperature_of_a_run_divides_its_logits(run_folder, prompt, digits, tmp_path):
    tensors, metadata = io.read_tensors(run_folder / "learned.safetensors", "learned")
    scaled = metadata | {"run": metadata["run"] | {"temperature": "val"}}
    io.write_tensors(tmp_path / "learned.safetensors", tensors | {"seed1.temperature": torch.tensor(2.0)}, scaled)
    paths = digits.of("base", 3)[0]
    loaded = cocoop.load(tmp_path, seed=1, device="cpu")
    torch.testing.assert_close(loaded.logits(paths), cocoop.load(run_folder, seed=1, device="cpu").logits(paths) / 2)
    loaded.export(tmp_path / "exported")
    again = cocoop.load(tmp_path / "exported", device="cpu")
    assert torch.equal(again.logits(paths), loaded.logits(paths))
