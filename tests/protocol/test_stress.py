"""Label noise, uneven shots, all shots and random class halves: their draws, and small benchmarks with them."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from cocoop import splits
from cocoop.cli import main
from cocoop.config.draw import ALL_SHOTS, Draw
from cocoop.errors import UserError
from cocoop.manifest import Item, Manifest
from cocoop.planning import stages
from cocoop.splits import Numbered
from tests.protocol.benchmark import configured, draw_of, made, plan, recorded, run, table, words

LABELS = [label for label in range(5) for _ in range(8)]


def manifest(images: int = 40, classes: int = 5) -> Manifest:
    items = tuple(Item(f"{label}/{number}.png", label) for label in range(classes) for number in range(images))
    return Manifest("many", tuple(map(str, range(classes))), {"train": items, "val": items[:1], "test": items})


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5, 1.0])
@pytest.mark.parametrize("kind", ["symmetric", "pair_flip"])
def test_as_many_labels_are_wrong_as_the_rate_says(rate, kind):
    found = splits.noisy(LABELS, 5, Draw(noise=rate, noise_kind=kind), seed=1)
    wrong = [(old, new) for old, new in zip(LABELS, found, strict=True) if old != new]
    assert len(wrong) == round(rate * len(LABELS))
    assert set(found) <= set(range(5))
    if kind == "pair_flip":
        assert all(new == (old + 1) % 5 for old, new in wrong)


def test_symmetric_noise_takes_each_other_class_alike():
    labels = [0] * 4000
    found = Counter(splits.noisy(labels, 5, Draw(noise=1.0), seed=3))
    assert set(found) == {1, 2, 3, 4}
    assert all(900 < count < 1100 for count in found.values())


def test_noise_depends_on_the_seed_and_on_nothing_else():
    given = Draw(noise=0.25)
    random.seed(7)
    first = splits.noisy(LABELS, 5, given, 1)
    random.seed(8)
    assert splits.noisy(LABELS, 5, given, 1) == first
    assert splits.noisy(LABELS, 5, given, 2) != first
    more = splits.noisy(LABELS, 5, Draw(noise=0.5), 1)
    assert all(more[at] == new for at, new in enumerate(first) if new != LABELS[at])


def test_noise_needs_a_second_class_and_an_image():
    with pytest.raises(UserError, match="label_noise: there is one class only"):
        splits.noisy([0, 0], 1, Draw(noise=0.5), 1)
    with pytest.raises(UserError, match=r"label_noise: 0\.1 of 2 training images is less than one image"):
        splits.noisy([0, 1], 2, Draw(noise=0.1), 1)


def test_imbalance_is_the_profile_of_the_long_tailed_cifar():
    selection = splits.selection_of(manifest(), 16, 1, Draw(imbalance=10))
    expected = [int(16 * 0.1 ** (place / 4.0)) for place in range(5)]
    assert Counter(selection["labels"]) == dict(enumerate(expected))
    base = splits.selection_of(manifest(), 16, 1, Draw(imbalance=10), "base")
    assert Counter(base["labels"]) == {0: 16, 1: 5, 2: 1}


def test_imbalance_of_all_shots_is_a_share_of_each_class():
    selection = splits.selection_of(manifest(), ALL_SHOTS, 1, Draw(imbalance=4))
    assert Counter(selection["labels"]) == {label: int(40 * 0.25 ** (label / 4.0)) for label in range(5)}


def test_shots_of_single_classes_and_unknown_ones():
    given = Draw(class_shots=(("1", 3),))
    assert Counter(splits.selection_of(manifest(), 2, 1, given)["labels"]) == {0: 2, 1: 3, 2: 2, 3: 2, 4: 2}
    with pytest.raises(UserError, match="class_shots: unknown class 'one'"):
        splits.selection_of(manifest(), 2, 1, Draw(class_shots=(("one", 3),)))


def test_shots_of_a_name_are_those_of_all_its_classes():
    crane = replace(manifest(classes=3), classnames=("crane", "dog", "crane"))
    selection = splits.selection_of(crane, 2, 1, Draw(class_shots=(("crane", 3),)))
    assert Counter(selection["labels"]) == {0: 3, 1: 2, 2: 3}


def test_clip_lora_draws_validation_images_first_and_repeats():
    """Against another implementation of its datasets/utils.py, with 3 images in each class and 5 shots."""
    items = {label: [Numbered(3 * label + k, label) for k in range(3)] for label in range(4)}
    every, random_ = [item for of_class in items.values() for item in of_class], random.Random(7)

    def drawn(shots):
        return [
            item
            for group in items.values()
            for item in (random_.sample(group, shots) if len(group) >= shots else random_.choices(group, k=shots))
        ]

    val = drawn(4)
    assert splits.few_shot(every, every, 5, 7, like="clip_lora") == (drawn(5), val)
    assert splits.few_shot(every, every, 2, 7, like="clip_lora") != splits.few_shot(every, every, 2, 7)


def test_all_shots_are_all_training_images():
    selection = splits.selection_of(manifest(), ALL_SHOTS, 1)
    assert selection["train"] == list(range(200))


def test_random_halves_divide_the_classes_and_differ():
    for classes in (2, 7, 100):
        halves = [splits.class_subset(range(classes), f"base-{number}") for number in (1, 2, 3)]
        for number, base in enumerate(halves, 1):
            new = splits.class_subset(range(classes), f"new-{number}")
            assert len(base) == (classes + 1) // 2
            assert sorted(base + new) == list(range(classes))
            assert base == sorted(base) and new == sorted(new)
    assert len({tuple(base) for base in halves}) == 3
    assert splits.class_subset(range(7), "base") == [0, 1, 2, 3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stress")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(autouse=True)
def there(folder, monkeypatch):
    monkeypatch.chdir(folder)


def test_rates_of_label_noise_are_rows_beside_the_clean_one(folder):
    jobs = made(configured(folder, label_noise={"rates": [0, 0.5]}))
    assert len([job for job in jobs if job.stage is stages.TRAIN]) == 2
    assert len([job for job in jobs if job.stage is stages.VIEWS]) == 1  # the images are the same
    found = recorded()
    assert set(found["draw"]) == {"", "50 % symmetric label noise"}
    text = table()
    assert "CoOp, 50 % symmetric label noise" in text
    assert "Label noise: 0 and 50 per cent of the training images have the label of another class at random" in words()
    run("draws", "export", "--configfile", "mine.yaml", "--out", "noisy")
    lines = Path("noisy/50-symmetric-label-noise-base/digits/shots2_seed1.jsonl").read_text().splitlines()
    wrong = [line for line in map(json.loads, lines) if "true_label" in line]
    assert len(wrong) == 5 and {line["split"] for line in wrong} == {"train"}


def test_an_exported_noisy_draw_trains_like_the_noise(folder):
    made(configured(folder, label_noise={"rates": [0.5]}, target_subsets=["base"]))
    before = recorded()
    run("draws", "export", "--configfile", "mine.yaml", "--out", "noise")
    made(configured(folder, draws="noise/50-symmetric-label-noise-base", target_subsets=["base"]))
    after = recorded()
    assert after["accuracy"].tolist() == before["accuracy"].tolist()


def test_all_shots_and_imbalance_show_in_table_and_records(folder):
    made(configured(folder, shots=["all"], imbalance=[1, 20], target_subsets=["base"]))
    found = recorded().query("variant == 'coop'")
    assert set(found["shots"]) == {ALL_SHOTS}
    assert (found.groupby("draw")["fewest_images"].max()["imbalance 20"] * 20) <= found["fewest_images"].max() + 20
    assert ",all," in Path("results/experiments/base_to_new/records.csv").read_text()
    text = table()
    assert "with all training images and 2 seeds" in words()
    assert "CoOp, imbalance 20" in text
    assert "has only" not in text


def test_random_halves_are_averaged_with_their_spread(folder):
    made(configured(folder, halves=["first", 1, 2], target_subsets=["base", "new"]))
    found = recorded()
    assert set(found["target_subset"]) == {"base", "new", "base-1", "new-1", "base-2", "new-2"}
    text = table()
    assert "the base classes (the first half and random halves 1 and 2)" in words()
    assert "over 3 or 6 runs (ddof 1): seeds and 3 divisions into base and new classes" in words()
    base = found[found["target_subset"].str.startswith("base")]
    for variant, label in (("clip", "CLIP"), ("coop", "CoOp")):
        mean = 100 * base[base["variant"] == variant]["accuracy"].mean()
        (line,) = (line for line in text.splitlines() if f" {label} " in f" {line} " and "±" in line)
        assert f"{mean:.2f} ±" in line


REFUSED = {
    "halves of nothing": (
        {"halves": [1], "train_subset": "all", "target_subsets": ["all"]},
        "halves: nothing is trained or tested on base or new classes",
    ),
    "noise and files": ({"draws": "d", "label_noise": {"rates": [0.5]}}, "label_noise does not go with draws"),
    "imbalance below one": ({"imbalance": [0.5]}, "imbalance.0: 0.5 is less than the minimum of 1"),
    "a rate above one": ({"label_noise": {"rates": [2]}}, "label_noise.rates.0: 2 is greater than the maximum of 1"),
    "no draw at all": ({"drawn_like": "clip_lora", "shots": ["all"]}, "does not go with shots: all"),
    "shots of nobody": ({"class_shots": {"letters": {}}}, "class_shots: unknown training dataset 'letters'"),
    "a class that YAML reads as a number": (
        {"class_shots": {"digits": {3: 1, "digit one": 2}}},
        "class_shots.digits: expected text, got 3; write '3'.",
    ),
    "a dataset that YAML reads as a number": (
        {"class_shots": {3: {}}},
        "class_shots: expected text, got 3; write '3'.",
    ),
    "a kind of noise": (
        {"label_noise": {"kind": "random", "rates": [0.5]}},
        "label_noise.kind: 'random' is not one of",
    ),
    "half of a half": ({"halves": ["second"]}, "halves: ['second'] is not valid"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_makes_no_sense_is_refused_in_one_line(name, folder, capsys):
    keys, expected = REFUSED[name]
    assert main(["plan", "--configfile", str(configured(folder, **keys))]) == 2
    said = capsys.readouterr().err
    assert expected in said and said.count("\n") == 1


def test_the_authors_draw_keeps_its_runs(folder):
    """Keys with their default values change nothing: neither identities nor paths."""
    before = {job.key for job in _numbers(folder)}
    same = {
        "label_noise": {"rates": [0]},
        "imbalance": [1],
        "class_shots": {},
        "halves": "first",
        "draws": None,
        "drawn_like": "coop",
    }
    assert {job.key for job in _numbers(folder, **same)} == before
    assert not any("draw" in run.to_dict() or "temperature" in run.to_dict() for run in plan(folder / "mine.yaml").runs)


def test_repeated_images_train_like_others(folder):
    """A class with too few images trains on some of them twice."""
    jobs = made(configured(folder, shots=[200], drawn_like="clip_lora", variants=["coop"]))
    selection = draw_of(jobs, 1)
    counts = Counter(selection["labels"])
    assert set(counts.values()) == {200} and len(set(selection["train"])) < len(selection["train"])
    assert set(recorded()["draw"]) == {"drawn as by CLIP-LoRA"}
    assert "drawn as by CLIP-LoRA's code" in words()


def _numbers(folder, **keys):
    from cocoop.planning.jobs import jobs_of

    of = (stages.FEWSHOT, stages.VIEWS, stages.TRAIN, stages.EVALUATE)
    return [job for job in jobs_of(plan(configured(folder, **keys))) if job.stage in of]
