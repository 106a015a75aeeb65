"""Files of the working folder beside the shipped ones: registries, configurations, published numbers, checkpoints."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

from cocoop import places
from cocoop.config import Registry, paper, weights
from cocoop.data.new import write_yaml
from cocoop.errors import UserError
from cocoop.planning import Plan, files
from cocoop.planning.cost.groups import profile

METHOD = "methods/coop.yaml"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def copied(name: str, old: str = "", new: str = "", to: str = "") -> Path:
    """A copy of a shipped file of config/ in the working folder, with a change."""
    path = Path("config") / (to or name)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = (places.SHIPPED / "config" / name).read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_an_empty_folder_has_what_is_shipped():
    assert "digits" in Registry().names("datasets")
    assert files.load()["backbone"] == "tiny"
    assert profile() == places.SHIPPED / "slurm" / "profile.yaml"


def test_own_files_are_found_beside_the_shipped_ones():
    copied("datasets/digits.yaml", to="datasets/mine.yaml")
    copied("experiments/base_to_new.yaml", to="experiments/mine.yaml")
    registry = Registry()
    assert {"mine", "digits", "imagenet"} <= set(registry.names("datasets"))
    assert {"mine", "base_to_new"} <= set(registry.names("experiments"))
    assert registry.dataset("mine", "here").title == registry.dataset("digits", "here").title


def test_of_two_files_with_one_name_the_own_one_counts():
    path = copied(METHOD, "lr: 0.002", "lr: 0.5")
    assert Registry().variant("coop", "here").training.lr == 0.5
    assert Registry().path("methods", "coop") == path
    path.unlink()
    assert Registry().variant("coop", "here").training.lr == 0.002


def test_a_variant_of_two_files_is_an_error():
    copied(METHOD, to="methods/mine.yaml")
    with pytest.raises(
        Exception, match=r"config/methods/mine.yaml: variant 'coop' is also defined in methods/coop.yaml"
    ):
        Registry().variant("coop", "here")


def test_a_method_is_checked_when_a_configuration_uses_or_changes_it():
    copied(METHOD, "coop:CoOp", "coop:Nothing")
    plan = {"variants": ["clip", "cocoop"], "train_datasets": ["digits"]}
    config = files.load() | {"experiments": [{"base_to_new": plan}]}
    assert {run.variant for run in Plan(config, Registry()).runs} == {"cocoop"}
    plan["variants"].append("coop")
    for uses in (lambda: Plan(config, Registry()), lambda: Registry(overrides={"coop": {}}).variants):
        with pytest.raises(UserError, match=r"config/methods/coop.yaml: class: unknown class"):
            uses()


def test_own_configuration_has_only_the_keys_that_differ():
    Path("config").mkdir()
    Path("config/config.yaml").write_text("seeds: [7]\n")
    Path("more.yaml").write_text("views: 3\n")
    merged = files.load([Path("more.yaml")])
    assert (merged["seeds"], merged["views"], merged["backbone"]) == ([7], 3, "tiny")


def test_a_shipped_configuration_is_found_by_its_name():
    paper_config = Path("config/paper.yaml")
    assert files.load([paper_config])["backbone"] == "vit_b16"
    copied("paper.yaml", "backbone: vit_b16", "backbone: vit_b32")
    assert files.load([paper_config])["backbone"] == "vit_b32"


def test_own_published_numbers_are_found():
    copied("paper/table1_base_to_new.yaml", to="paper/ours.yaml")
    assert {"ours", "table1_base_to_new"} <= set(paper.names())
    assert paper.digest("ours") == paper.digest("table1_base_to_new")


def test_a_new_dataset_is_written_into_the_working_folder():
    for number in range(8):
        path = Path("birds", ("owl", "wren")[number % 2], f"{number}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (30 * number, 0, 0)).save(path)
    written, _ = write_yaml(Path("birds"), "birds")
    assert written == Path("config/datasets/birds.yaml")
    assert "birds" in Registry().names("datasets")


def test_a_checkpoint_may_be_given_relative_to_the_working_folder():
    settings = {"model": "cocoop/assets/tiny_clip/tiny_clip.json", "pretrained": "mine.safetensors"}
    shipped = places.REPOSITORY / "cocoop/assets/tiny_clip/weights.safetensors"
    assert weights.local_files(settings) == (str(places.found(settings["model"])),)
    shutil.copy(shipped, "mine.safetensors")
    assert weights.local_files(settings)[1] == "mine.safetensors"
    same = {**settings, "pretrained": "cocoop/assets/tiny_clip/weights.safetensors"}
    assert weights.digest(settings) == weights.digest(same)
