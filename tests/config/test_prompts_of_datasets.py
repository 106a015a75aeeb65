"""Templates and descriptions of a dataset: several prompts, from its file or from a file of their own."""

import json

import pytest

from cocoop.config import DatasetSpec, Registry
from cocoop.config.validation import validate
from cocoop.errors import UserError
from cocoop.planning import Plan
from cocoop.planning.files import load

READER = {"kind": "coop_split", "file": "split.json", "images": "images"}


def spec(**settings) -> DatasetSpec:
    content = {"title": "Birds", "template": "a photo of a {}.", "reader": READER, **settings}
    validate(content, "dataset", "birds.yaml")
    return DatasetSpec("birds", content)


def test_one_template_by_default():
    assert spec().templates == ("a photo of a {}.",)


def test_templates_from_a_list_and_from_a_file_are_equal(tmp_path):
    templates = ["a {}.", "art of the {}."]
    path = tmp_path / "templates.txt"
    path.write_text("a {}.\n\n  art of the {}.\n")
    assert spec(templates=templates).templates == spec(templates=str(path)).templates == tuple(templates)


@pytest.mark.parametrize(
    ("text", "message"),
    [("a {}.\na bird\n", r"line 2: 'a bird' needs exactly one \{\}"), ("\n", "is empty; write one template per line")],
)
def test_wrong_template_files_are_one_line(tmp_path, text, message):
    path = tmp_path / "templates.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        _ = spec(templates=str(path)).templates


def test_a_missing_template_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"birds.yaml: templates: cannot read .*nothing.txt"):
        _ = spec(templates=str(tmp_path / "nothing.txt")).templates


def test_only_methods_that_use_templates_change_with_them():
    config = load() | {"experiments": {"base_to_new": {"train_datasets": ["digits"], "variants": ["clip", "coop"]}}}

    def evaluations(template: str) -> dict[str, str]:
        registry = Registry()
        read = registry.dataset("digits", "test")
        registry.dataset = lambda name, where: DatasetSpec(name, {**read.settings, "template": template})
        return {e.run.variant: e.identity for e in Plan(config, registry).evaluations}

    before, after = evaluations("a photo of a {}."), evaluations("a drawing of a {}.")
    assert before["coop"] == after["coop"]
    assert before["clip"] != after["clip"]


def test_titles_and_prompts_are_not_part_of_the_data():
    assert spec().data == spec(title="Other", templates=["a {}."]).data
    assert spec().data != spec(reader={**READER, "file": "other.json"}).data


def test_descriptions_are_part_of_a_run_by_content(tmp_path):
    from cocoop.text import descriptions

    one, two = tmp_path / "one.json", tmp_path / "two.json"
    one.write_text(json.dumps({"cat": ["has whiskers"]}))
    two.write_text(json.dumps({"cat": ["has fur"]}))
    assert descriptions.digest(descriptions.load(one)) != descriptions.digest(descriptions.load(two))
