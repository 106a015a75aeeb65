"""Files of the working folder beside the shipped ones: registries, configurations, published numbers, checkpoints."""

import os
import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image

from cocoop import io, places
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


def test_own_publications_lie_over_the_shipped_ones():
    shipped = paper.publications()
    mine = {"title": "Mine", "venue": None, "year": None, "protocol": "inductive"}
    Path("config").mkdir()
    Path(paper.PUBLICATIONS).write_text(yaml.safe_dump({"mine": mine, "coop": shipped["coop"] | {"title": "My CoOp"}}))
    found = paper.publications()
    assert (found["mine"], found["coop"]["title"], found["cocoop"]) == (mine, "My CoOp", shipped["cocoop"])
    Path(paper.PUBLICATIONS).write_text("mine: {titel: Mine}\n")
    with pytest.raises(UserError, match=r"^config/publications.yaml: mine: .*unknown key 'titel'"):
        paper.publications()


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


LARGE = {"model": "ViT-B-16", "pretrained": "large.pt"}


@pytest.fixture
def large(monkeypatch) -> list[str]:
    """A checkpoint of zeros above the limit, in a folder in which Snakemake has run; the files that were read whole."""
    with Path("large.pt").open("wb") as file:
        file.truncate(weights.READ_EACH_TIME + 1)
    Path(".snakemake").mkdir()
    read, whole = [], weights.io.sha256_file
    monkeypatch.setattr(weights.io, "sha256_file", lambda path: read.append(path) or whole(path))
    weights._content.cache_clear()
    return read


def overwritten(at: int) -> None:
    """Changes one byte of the checkpoint, a second later."""
    before = os.stat("large.pt").st_mtime_ns
    with Path("large.pt").open("r+b") as file:
        file.seek(at)
        file.write(b"x")
    os.utime("large.pt", ns=(before + 10**9,) * 2)


def test_any_changed_byte_of_a_large_checkpoint_is_noticed(large):
    found = {weights.digest(LARGE)}
    for at in (100_000, weights.READ_EACH_TIME // 2 + 70_001, weights.READ_EACH_TIME):
        overwritten(at)
        found.add(weights.digest(LARGE))
    assert len(found) == len(large) == 4


def test_a_large_checkpoint_is_read_once(large):
    found = set()
    for _ in range(2):
        found.add(weights.digest(LARGE))
        weights._content.cache_clear()  # as in another process
    assert len(found) == len(large) == 1
    (kept,) = Path(".snakemake/checkpoints").iterdir()
    kept.write_text("damaged")
    assert {weights.digest(LARGE)} == found and len(large) == 2


def test_where_no_snakemake_has_run_nothing_is_kept(large):
    Path(".snakemake").rmdir()
    assert weights.digest(LARGE) == io.identity([io.sha256_file("large.pt")])
    assert [path.name for path in Path().iterdir()] == ["large.pt"]
