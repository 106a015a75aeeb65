"""Configuration: every shipped file is valid, every mistake is one line with the choices, plans share what coincides."""

import copy
import shutil

import pytest
import yaml

from cocoop import io
from cocoop.config import Registry
from cocoop.config.draw import ALL_SHOTS
from cocoop.config.validation import validate
from cocoop.config.variants import check_selection
from cocoop.errors import UserError
from cocoop.planning import Plan, experiment_content
from cocoop.planning.files import plan_of
from cocoop.planning.job import view_ranges

CONFIG = io.REPOSITORY / "config"


@pytest.fixture
def config() -> dict:
    return io.read_yaml(CONFIG / "config.yaml")


def message(config: dict, registry: Registry | None = None) -> str:
    with pytest.raises(UserError) as error:
        Plan(config, registry or Registry(overrides=config.get("variants")))
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    "name", ["config.yaml", "miniature.yaml", "miniature_successors.yaml", "paper.yaml", "successors.yaml"]
)
def test_shipped_configurations(name):
    plan = plan_of([CONFIG / name])
    assert plan.evaluations
    assert len(set(plan.evaluations)) == len(plan.evaluations)


@pytest.mark.parametrize("kind", ["backbones", "datasets", "methods", "experiments"])
def test_shipped_files(kind):
    registry = Registry()
    for name in registry.names(kind):
        assert registry.read(kind, name, "test")


def test_templates_have_one_place_for_the_name():
    registry = Registry()
    for name in registry.names("datasets"):
        assert registry.dataset(name, "test").template.count("{}") == 1, name


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"backbone": "tinny"}, "backbone: unknown backbone 'tinny'; known: .*tiny.* Did you mean 'tiny'?"),
        ({"sedes": [1]}, "unknown key 'sedes'; known: .*seeds.* Did you mean 'seeds'"),
        ({"seeds": []}, "seeds: "),
        ({"seeds": [1, 1]}, "seeds: "),
        ({"seeds": ["1"]}, "seeds.0: expected an integer, got '1'"),
        ({"seeds": [1.0]}, "seeds.0: expected an integer, got 1.0"),
        ({"seeds": [True]}, "seeds.0: expected an integer, got True"),
        ({"seeds_per_job": 2.0}, "seeds_per_job: expected an integer, got 2.0"),
        ({"views": 2.0}, "views: 2.0 is not valid"),
        ({"text_budget_mb": 2048.0}, "text_budget_mb: expected an integer, got 2048.0"),
        (
            {"experiments": {"base_to_new": {"shots": [4.0]}}},
            "shots.0: 4.0 is not valid; expected a number of images per class from 1, or all",
        ),
        ({"variants": {"coop": {"training": {"epochs": 2.0}}}}, "epochs: expected an integer, got 2.0"),
        (
            {"data_root": "a{x}"},
            "data_root: 'a{x}' is not valid; expected a folder for all datasets, without a leading ~",
        ),
        ({"data_root": "a\nb"}, "data_root: .* is not valid"),
        ({"data_root": "a\n"}, "data_root: .* is not valid"),
        ({"data_root": "~/data"}, "data_root: .* is not valid"),
        ({"data_root": "$HOME/data"}, r"data_root: .* is not valid; .* variables \(\$HOME\)"),
        ({"data_root": "/scratch/$USER/data"}, "data_root: .* is not valid"),
        ({"views": "per_epoc"}, "views: 'per_epoc' is not valid; expected a number of augmented views"),
        ({"device": "gpu"}, "device: 'gpu' is not one of auto, cpu, cuda"),
        ({"experiments": {"base_to_old": {}}}, "unknown experiment 'base_to_old'.* Did you mean 'base_to_new'"),
        (
            {"experiments": ["base_to_new", {"base_to_new": {"shots": [4]}}]},
            "experiments: 'base_to_new' is listed twice; .* copy its file under another name in config/experiments",
        ),
        ({"experiments": {"base_to_new": {"variants": ["coOp"]}}}, "unknown variant 'coOp'.* Did you mean 'coop'"),
        ({"experiments": {"base_to_new": {"train_datasets": ["digit"]}}}, "unknown dataset 'digit'.*'digits'"),
        ({"experiments": {"base_to_new": {"dataset": []}}}, "experiments.base_to_new: .*unknown key 'dataset'"),
        ({"experiments": {"base_to_new": {"train_datasets": ["imagenet_a"]}}}, "'imagenet_a' is for testing only"),
        ({"variants": {"cocop": {}}}, "unknown variant 'cocop'.* Did you mean 'cocoop'"),
        ({"variants": {"coop": {"training": {"lr": "2e-3"}}}}, "got '2e-3'; YAML reads 2e-3 as text, write 0.002"),
        ({"variants": {"coop": {"training": {"lr": "1e-5"}}}}, "got '1e-5'; YAML reads 1e-5 as text, write 1.0e-05"),
        ({"variants": {"coop": {"training": {"epoch": 3}}}}, "unknown key 'epoch'.*'epochs'"),
        ({"variants": {"coop": {"params": {"n_ctx": 0}}}}, "n_ctx: "),
        ({"variants": {"coop": {"params": {"ctx": 4}}}}, "unknown key 'ctx'.*'n_ctx'"),
        (
            {"experiments": {"base_to_new": {"paper": "table9"}}},
            "base_to_new.paper: unknown paper table 'table9'; known: ",
        ),
        (
            {"experiments": {"base_to_new": {"target_subsets": ["base"], "measures": ["auroc"]}}},
            "base_to_new.measures: 'auroc' compares base with new classes, but target_subsets is ",
        ),
        (
            {"experiments": {"base_to_new": {"paper_measures": ["table1_base_to_new"]}}},
            "base_to_new.paper_measures: the numbers of 'table1_base_to_new' are of accuracy; name it under paper",
        ),
        (
            {"variants": {"coop": {"per_dataset": {"digit": {"epochs": 2}}}}},
            "per_dataset: unknown dataset 'digit'.*'digits'",
        ),
        *(
            (
                {"variants": {"coop": {"per_shots": {key: {"lr": 0.1}}}}},
                f"variants.coop: per_shots: {key!r} is not valid",
            )
            for key in ("x", 1.5, True, None, "-4")
        ),
        (
            {"variants": {"coop": {"per_shots": {-4: {"lr": 0.1}}}}},
            "per_shots: '-4' is not valid; expected a number of shots",
        ),
        (
            {"variants": {"coop": {"per_shots": {4: {"lr": 0.1}, "4": {"lr": 0.2}}}}},
            "per_shots: both 4 and '4' are there",
        ),
        ({"variants": {7: {"based_on": "coop"}}}, "variants: expected text, got 7; write '7'"),
        (
            {"variants": {"one": {"based_on": "coop", "training": {"epochs": 3}}, "two": {"based_on": "one"}}},
            "variants.two.based_on: 'one' is new itself; name one of a file in config/methods",
        ),
        ({"variants": {"clip": {"training": {"epochs": 3}}}}, "clip has learns: nothing"),
        ({"variants": {"coop": {"params": {"csc": True}}}}, "is tied to the classes it was trained on"),
    ],
)
def test_mistakes_are_one_line_with_the_choices(config, change, expected):
    config.update(change)
    with pytest.raises(UserError, match=expected):
        Plan(config, Registry(overrides=config.get("variants")))
    message(config)


def test_a_configuration_wins_over_a_methods_special_cases():
    """The method's file has epochs for ImageNet and for few shots; what a configuration says of a variant holds for them too."""

    def epochs(variant, dataset, shots, **over):
        return Registry(overrides={variant: over}).variant(variant, "test").training_on(dataset, shots).epochs

    assert (epochs("coop", "imagenet", 16), epochs("coop_fewshot", "dtd", 1)) == (50, 50)
    assert (epochs("coop", "imagenet", 16, training={"lr": 0.1}), epochs("coop", "dtd", 16, training={"lr": 0.1})) == (
        50,
        200,
    )
    assert epochs("coop", "imagenet", 16, training={"epochs": 2}) == 2
    assert epochs("coop_fewshot", "dtd", 1, training={"epochs": 2}) == 2
    special = {"training": {"epochs": 2}, "per_dataset": {"dtd": {"epochs": 3}}, "per_shots": {"4": {"epochs": 4}}}
    assert [epochs("coop_fewshot", d, s, **special) for d, s in (("dtd", 1), ("eurosat", 4), ("eurosat", 1))] == [
        3,
        4,
        2,
    ]


@pytest.mark.parametrize(("key", "shots"), [(1, 1), ("1", 1), ("all", ALL_SHOTS)])
def test_a_number_of_shots_is_the_same_as_a_number_and_as_text(key, shots):
    """Of the method's file, which has epochs for 1 shot, nothing else changes."""
    variant = Registry(overrides={"coop_fewshot": {"per_shots": {key: {"lr": 0.01}}}}).variant("coop_fewshot", "test")
    training = variant.training_on("dtd", shots)
    assert (training.epochs, training.lr) == (50 if shots == 1 else 200, 0.01)


def test_what_a_new_variant_is_based_on_may_write_shots_in_the_other_way():
    over = {"coop": {"per_shots": {1: {"lr": 0.01}}}, "mine": {"based_on": "coop", "per_shots": {"1": {"epochs": 3}}}}
    training = Registry(overrides=over).variant("mine", "test").training_on("dtd", 1)
    assert (training.epochs, training.lr) == (3, 0.01)


@pytest.mark.parametrize(
    ("key", "valid"), [(1, True), ("all", True), (True, False), (1.5, False), (-4, False), ("x", False)]
)
def test_numbers_of_shots_in_a_methods_file(key, valid, tmp_path):
    shutil.copytree(CONFIG / "methods", tmp_path / "methods")
    path = tmp_path / "methods/coop.yaml"
    content = io.read_yaml(path)
    content["variants"]["coop_fewshot"]["per_shots"] = {key: {"epochs": 7}}
    path.write_text(yaml.safe_dump(content))
    if valid:
        spec = Registry(tmp_path).variant("coop_fewshot", "test")
        assert spec.training_on("dtd", 1 if key == 1 else ALL_SHOTS).epochs == 7
        return
    with pytest.raises(UserError, match=f"coop_fewshot.per_shots: {key!r} is not valid; expected a number of shots"):
        Registry(tmp_path).variant("coop_fewshot", "test")


def test_missing_key(config):
    del config["seeds"]
    assert "key 'seeds' is missing" in message(config)


def test_repeated_key_and_bad_yaml(tmp_path):
    (tmp_path / "twice.yaml").write_text("a: 1\nb: 2\na: 3\n")
    with pytest.raises(UserError, match=r"twice.yaml, line 3: .*'a' appears twice"):
        io.read_yaml(tmp_path / "twice.yaml")
    (tmp_path / "bad.yaml").write_text("a: [1,\n")
    with pytest.raises(UserError, match=r"bad.yaml, line \d: not valid YAML"):
        io.read_yaml(tmp_path / "bad.yaml")


def test_one_new_file_is_a_new_method(tmp_path, config):
    shutil.copytree(CONFIG, tmp_path / "config")
    content = io.read_yaml(CONFIG / "methods" / "coop.yaml")
    content["variants"] = {"mine": {"label": "Mine", "params": {"n_ctx": 2, "ctx_init": "photo of"}}}
    (tmp_path / "config" / "methods" / "mine.yaml").write_text(yaml.safe_dump(content))
    config["experiments"] = [{"base_to_new": {"variants": ["mine"], "train_datasets": ["digits"]}}]
    assert {run.variant for run in Plan(config, Registry(tmp_path / "config")).runs} == {"mine"}


def test_an_added_seed_plans_only_runs_with_that_seed(config):
    before = Plan(config)
    more = copy.deepcopy(config)
    more["seeds"] = [*config["seeds"], 4]
    after = Plan(more)
    new = set(after.runs) - set(before.runs)
    assert set(before.evaluations) < set(after.evaluations)
    assert {run.seeds for run in new} == {(4,)}
    assert len(new) == len(before.runs)


def test_one_changed_variant_changes_its_runs_alone(config):
    before = Plan(config)
    changed = copy.deepcopy(config)
    changed["variants"] = {"coop_ctx21": {"training": {"lr": 0.01}}}
    after = Plan(changed)
    assert {run.variant for run in set(before.runs) ^ set(after.runs)} == {"coop_ctx21"}
    assert len(before.runs) == len(after.runs)


def test_experiments_share_their_runs():
    plan = plan_of([CONFIG / "paper.yaml"])
    shared = {"base_to_new", "parameter_matched", "class_incremental"}
    wanted = [e.run for name in shared for e in set(plan.evaluations_of(plan.experiments[name]))]
    trained = [run for run in wanted if run.trainable]
    assert len(trained) > len(set(trained))
    assert set(trained) <= set(plan.runs)


def test_settings_of_the_reference():
    """CoOp trains 200 epochs in batches of 32 (50 on ImageNet), CoCoOp 10 epochs of single images."""
    runs = plan_of([CONFIG / "paper.yaml"]).runs
    found = {(run.variant, run.dataset): run.training for run in runs if run.subset == "base"}
    assert (found["coop", "dtd"].epochs, found["coop", "dtd"].batch_size) == (200, 32)
    assert found["coop", "imagenet"].epochs == 50
    assert (found["cocoop", "imagenet"].epochs, found["cocoop", "imagenet"].batch_size) == (10, 1)
    curves = {run.shots: run.training.epochs for run in runs if (run.variant, run.dataset) == ("coop_fewshot", "dtd")}
    assert curves == {1: 50, 2: 100, 4: 100, 8: 200, 16: 200}


def test_views_are_shared_between_runs_of_different_length():
    assert view_ranges(10) == [(0, 10)]
    assert view_ranges(60) == [(0, 10), (10, 50), (50, 60)]
    assert view_ranges(200) == [(0, 10), (10, 50), (50, 100), (100, 200)]
    assert view_ranges(0) == []


def test_experiment_content_lists_every_record(config):
    plan = Plan(config)
    content = experiment_content(plan, "base_to_new")
    datasets, seeds = 5, 3
    assert len(content["expected"]) == datasets * 2 * (1 + 3 * seeds)


def test_every_experiment_has_a_miniature_and_a_configuration():
    names = set(Registry().names("experiments"))
    of_papers = names - {"all_classes"}  # for one's own data
    for wanted, paper, successors in (
        (names, "miniature", "miniature_successors"),
        (of_papers, "paper", "successors"),
    ):
        planned = [
            *plan_of([CONFIG / f"{paper}.yaml"]).experiments,
            *plan_of([CONFIG / f"{successors}.yaml"]).experiments,
        ]
        assert sorted(planned) == sorted(wanted)


def test_experiments_of_successors_compare_what_they_can():
    """On new classes only methods that are not bound to their classes; the published rows name the variants compared."""
    registry, plan = Registry(), plan_of([CONFIG / "successors.yaml"])
    base, few = plan.experiments["successors_base_to_new"], plan.experiments["adapters_few_shot"]
    assert not any(registry.variant(name, "test").class_bound for name in base.variants)
    assert any(registry.variant(name, "test").class_bound for name in few.variants)
    assert (base.shots, few.shots) == ((16,), (1, 2, 4, 8, 16))
    assert len(base.train_datasets) == len(few.train_datasets) == 11


def test_an_unknown_reference_is_named(config):
    config["experiments"] = {"base_to_new": {"reference": "clipp"}}
    assert message(config).startswith(
        "configuration: experiments.base_to_new.reference: unknown variant 'clipp'; known: "
    )


def test_class_names_are_texts():
    content = io.read_yaml(CONFIG / "datasets/digits.yaml")
    content["reader"]["rename"] = {3: "three"}
    with pytest.raises(UserError, match="mine: reader.rename: expected text, got 3; write '3'"):
        validate(content, "dataset", "mine")


def test_local_features_are_not_held_out():
    content = {"needs": ["local_features"], "selections": ["none", "hold_one_out"]}
    with pytest.raises(
        UserError, match="mine.selection: hold_one_out requires inputs: features, not images, and no local_features"
    ):
        check_selection("hold_one_out", content, "mine")
