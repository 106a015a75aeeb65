"""Several backbones in one configuration, and their precision."""

import json
from dataclasses import replace

import pytest
import yaml
from snakemake.settings.types import ConfigSettings

from cocoop.cli import main
from cocoop.errors import UserError
from cocoop.io import REPOSITORY
from cocoop.planning.content import experiment_content
from cocoop.planning.files import load, plan_from, plan_of
from cocoop.planning.jobs import jobs_of
from cocoop.planning.plan import Plan
from cocoop.planning.stages import EVALUATE, FEATURES, TEXT_TOWER, TRAIN, VIEWS
from cocoop.planning.status.leftovers import leftovers

MINIATURE = REPOSITORY / "config/miniature_backbones.yaml"
TWO = ["tiny", "tiny_vit"]


def file(folder, name="mine.yaml", **content):
    path = folder / name
    path.write_text(yaml.safe_dump(content))
    return path


def test_each_backbone_has_the_jobs_that_it_has_alone():
    """With the same paths, so that results of a single backbone are found again in a comparison."""
    together = {path for job in jobs_of(plan_of([MINIATURE])) if job.backbone for path in job.outputs.values()}
    content = load([MINIATURE])
    alone = []
    for name in TWO:
        plan = Plan({key: value for key, value in content.items() if key != "backbones"} | {"backbone": name})
        alone.append({path for job in jobs_of(plan) if job.backbone for path in job.outputs.values()})
    assert together == alone[0] | alone[1] and not alone[0] & alone[1]
    stages = {(job.stage.name, job.backbone) for job in jobs_of(plan_of([MINIATURE])) if job.backbone}
    assert stages == {(stage.name, name) for stage in (TEXT_TOWER, FEATURES, VIEWS, TRAIN, EVALUATE) for name in TWO}


def test_an_experiment_lists_its_backbones_and_the_records_of_each():
    content = experiment_content(plan_of([MINIATURE]), "base_to_new")
    assert [backbone["name"] for backbone in content["backbones"]] == TWO
    assert len(content["expected"]) == 2 * (1 + 2)  # base and new; of CLIP one result, of CoOp one for each seed


def test_backbone_is_short_for_a_list_of_one(tmp_path):
    plans = [
        plan_of([file(tmp_path, **{key: value})]) for key, value in (("backbone", "tiny"), ("backbones", ["tiny"]))
    ]
    first, second = ([(job.key, tuple(job.command)) for job in jobs_of(plan)] for plan in plans)
    assert first == second


def test_a_later_file_replaces_either_key(tmp_path):
    one, several = file(tmp_path, "one.yaml", backbone="tiny_vit"), file(tmp_path, "several.yaml", backbones=TWO)
    assert list(plan_of([one, several]).backbones) == TWO
    assert list(plan_of([several, one]).backbones) == ["tiny_vit"]
    assert list(plan_of([several]).backbones) == TWO  # over the demo's `backbone`


@pytest.mark.parametrize(
    ("said", "expected"),
    [({}, TWO), ({"backbone": "tiny"}, ["tiny"]), ({"backbones": ["tiny_vit"]}, ["tiny_vit"])],
)
def test_the_command_line_replaces_both_keys(said, expected, tmp_path):
    """Snakemake gives what it merged of the files and --config, where both keys can be."""
    paths = [file(tmp_path, "one.yaml", backbone="tiny_vit"), file(tmp_path, "several.yaml", backbones=TWO)]
    merged = {"backbone": "tiny_vit", "backbones": TWO} | said
    assert list(plan_from(merged, paths).backbones) == expected


def test_what_a_snakefile_changes_counts_over_the_command_line(tmp_path):
    paths = [file(tmp_path, "one.yaml", offline=False)]
    assert plan_from({"offline": True}, paths, {"offline": False}).config["offline"] is True


def test_no_value_on_the_command_line_is_refused():
    """Snakemake would hand it to the jobs of a cluster as the text 'None'."""
    with pytest.raises(UserError, match=r"--config precision=: no value; write `precision: null` in a file"):
        plan_from({"precision": None}, [], {"precision": None})


@pytest.mark.parametrize("said", [{}, {"backbone": "tiny_vit"}, {"backbone": "tiny"}, {"backbones": ["tiny_vit"]}])
def test_the_command_line_wins_with_what_an_earlier_file_says(said, tmp_path):
    """`--config backbone=tiny_vit` leaves no trace in what Snakemake merged, because the first file says so too."""
    paths = [file(tmp_path, "one.yaml", backbone="tiny_vit"), file(tmp_path, "several.yaml", backbones=TWO)]
    given = ConfigSettings(config=said, configfiles=paths)
    plan = plan_from(given.overwrite_config, given.configfiles, given.config)
    assert list(plan.backbones) == (said.get("backbones") or [said["backbone"]] if said else TWO)
    assert plan.where.endswith("--config") == bool(said)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"backbone": "tiny", "backbones": TWO},
            "both backbone (tiny) and backbones (tiny, tiny_vit) are there; keep one of the keys: `backbone: NAME` is short for "
            "`backbones: [NAME]`.",
        ),
        ({"backbones": []}, "backbones: [] should be non-empty"),
        ({"backbones": ["tiny", "tiny"]}, "backbones: ['tiny', 'tiny'] has non-unique elements"),
        ({"backbones": "tiny"}, "backbones: expected a list, got 'tiny'; write [tiny]"),
        ({"backbones": ["tiny", "tinny"]}, "backbones: unknown backbone 'tinny'"),
    ],
    ids=["both", "none", "twice", "a name", "unknown"],
)
def test_wrong_backbones_are_refused_in_one_line(content, message, tmp_path, capsys):
    assert main(["plan", "--configfile", str(file(tmp_path, **content))]) == 2
    said = capsys.readouterr().err
    assert message in said and said.count("\n") == 1 and "mine.yaml" in said


def test_a_configuration_without_a_backbone_is_refused():
    content = {key: value for key, value in load().items() if key != "backbone"}
    with pytest.raises(UserError, match="key 'backbone' is missing; name a backbone, or several in 'backbones'"):
        Plan(content)


def test_backbones_with_the_same_label_are_refused(monkeypatch):
    from cocoop.config import Registry

    read = Registry.backbone
    monkeypatch.setattr(Registry, "backbone", lambda *given: replace(read(*given), label="CLIP"))
    with pytest.raises(UserError, match="backbones: tiny and tiny_vit have the same label 'CLIP'"):
        plan_of([MINIATURE])


def test_variants_and_datasets_with_the_same_name_in_tables_are_refused(tmp_path):
    experiments = [{"base_to_new": {"train_datasets": ["digits"], "variants": ["coop", "mine"]}}]
    variants = {"mine": {"based_on": "coop", "label": "CoOp", "training": {"epochs": 2}}}
    with pytest.raises(UserError, match="variants: coop and mine have the same label 'CoOp'; give one of them another"):
        plan_of([file(tmp_path, variants=variants, experiments=experiments)])


def test_variants_that_change_a_transformer_are_refused_beside_a_resnet(tmp_path):
    """Before the first job, with the backbone's name; those on features, or on pixels, are not."""
    path = file(
        tmp_path, backbones=["vit_b16", "rn50"],
        experiments=[{"base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop", "maple"]}}],
    )  # fmt: skip
    with pytest.raises(UserError) as refused:
        plan_of([path])
    assert str(refused.value).endswith(
        "variant 'maple' changes a vision transformer, but the image tower of backbone 'rn50' (RN50-quickgelu) is a ResNet; leave "
        "out the variant or the backbone."
    )
    path.write_text(path.read_text().replace("maple", "visual_prompt"))
    assert len(plan_of([path]).backbones) == 2
    path.write_text(path.read_text().replace("visual_prompt", "maple").replace("rn50", "vit_b32"))
    assert len(plan_of([path]).backbones) == 2


def test_plan_has_a_row_for_each_backbone(capsys):
    assert main(["plan", "--configfile", str(MINIATURE)]) == 0
    out = capsys.readouterr().out
    jobs = jobs_of(plan_of([MINIATURE]))
    for name in TWO:
        (row,) = [line for line in out.splitlines() if line.startswith(f"with {name} ")]
        assert int(row.removeprefix(f"with {name} ").split()[0]) == sum(job.backbone == name for job in jobs)


def test_results_of_a_backbone_that_is_left_out_are_leftovers(tmp_path):
    both = jobs_of(plan_of([MINIATURE]))
    for job in both:
        for path in job.outputs.values():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
    assert not leftovers(both, "data", tmp_path)
    content = {key: value for key, value in load([MINIATURE]).items() if key != "backbones"} | {"backbone": "tiny"}
    found = {str(path.relative_to(tmp_path)) for path in leftovers(jobs_of(Plan(content)), "data", tmp_path)}
    assert found and all("/tiny_vit" in path for path in found)


def test_precision_of_a_configuration_replaces_that_of_the_files(tmp_path):
    plan = plan_of([file(tmp_path, backbones=["vit_b32", "tiny"], precision="fp16")])
    assert {spec.precision for spec in plan.backbones.values()} == {"fp16"}
    plan = plan_of([file(tmp_path, backbones=["vit_b32", "tiny"])])
    assert {name: spec.precision for name, spec in plan.backbones.items()} == {"vit_b32": "auto", "tiny": "fp32"}


@pytest.mark.parametrize("name", ["paper", "successors"])
def test_configurations_of_papers_keep_the_precision_of_the_papers(name):
    plan = plan_of([REPOSITORY / f"config/{name}.yaml"])
    assert {spec.precision for spec in plan.backbones.values()} == {"fp16"}
    assert {json.loads(run.to_json())["backbone"]["precision"] for run in plan.runs} == {"fp16"}
