"""Hand-crafted prompts: template, ensemble and descriptions of a dataset, and which of them a variant takes."""

import json
from pathlib import Path

import open_clip
import pytest

from cocoop.config import DatasetSpec, Registry, prompts
from cocoop.config.validation import validate
from cocoop.errors import UserError
from cocoop.planning import Plan
from cocoop.planning.files import load

READER = {"kind": "coop_split", "file": "split.json", "images": "images"}
TEMPLATE = "a photo of a {}."
CLIP_LENGTHS = {  # of the lists in CLIP data/prompts.md (commit 04f4dc2), and of the notebook's for ImageNet
    "caltech101": 34, "dtd": 8, "eurosat": 3, "fgvc_aircraft": 2, "flowers102": 1, "food101": 1, "oxford_pets": 1,
    "stanford_cars": 8, "sun397": 2, "ucf101": 48, "imagenet": 80, "imagenetv2": 80, "imagenet_a": 80, "imagenet_r": 80,
    "imagenet_sketch": 80,
}  # fmt: skip


def spec(**settings) -> DatasetSpec:
    content = {"title": "Birds", "template": TEMPLATE, "reader": READER, **settings}
    validate(content, "dataset", "birds.yaml")
    return DatasetSpec("birds", content)


def plan(variants: dict, names: list[str], **settings) -> Plan:
    """Variants on digits with other settings of the dataset and of the variants."""
    config = load() | {
        "variants": variants, "experiments": {"base_to_new": {"train_datasets": ["digits"], "variants": names}},
    }  # fmt: skip
    registry = Registry(overrides=variants, where="mine.yaml")
    read = registry.dataset("digits", "test")
    registry.dataset = lambda name, where: DatasetSpec(name, {**read.settings, **settings})
    return Plan(config, registry, "mine.yaml")


def evaluated(variant: str, chosen: object = None, **settings):
    variants = {} if chosen is None else {variant: {"prompts_from": chosen}}
    return next(iter(plan(variants, [variant], **settings).evaluations))


def test_lists_of_imagenet_are_open_clips():
    found = Registry().dataset("imagenet", "test").ensemble
    assert found == tuple(template("{}") for template in open_clip.OPENAI_IMAGENET_TEMPLATES)
    seven = tuple(template("{}") for template in open_clip.SIMPLE_IMAGENET_TEMPLATES)
    assert prompts.general(TEMPLATE) == (*seven, TEMPLATE)


@pytest.mark.parametrize("name", CLIP_LENGTHS)
def test_lists_of_the_paper_datasets_have_the_authors_lengths(name):
    found = Registry().dataset(name, "test").ensemble
    assert len(set(found)) == len(found) == CLIP_LENGTHS[name]


def test_a_dataset_without_ensemble_takes_the_general_one():
    assert spec().ensemble == prompts.general(TEMPLATE)
    assert spec(template="a {} bird.").ensemble[-1] == "a {} bird."


def test_an_ensemble_from_a_list_and_from_a_file_are_equal(tmp_path):
    path = tmp_path / "templates.txt"
    path.write_text("# from the paper, section 3\na {}.\n\n  art of the {}.\n")
    assert spec(ensemble=["a {}.", "art of the {}."]).ensemble == spec(ensemble=str(path)).ensemble


def test_files_are_found_in_the_working_folder_and_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(spec(ensemble="config/templates/imagenet_80.txt").ensemble) == 80
    Path("mine.txt").write_text("a {}.")
    assert spec(ensemble="mine.txt").ensemble == ("a {}.",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a {}.\na bird\n", r"birds.yaml: ensemble: .*line 2: 'a bird' needs exactly one \{\}"),
        ("# all of them\n\n", "is empty; write one template per line"),
    ],
)
def test_wrong_template_files_are_one_line(tmp_path, text, message):
    path = tmp_path / "templates.txt"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        _ = spec(ensemble=str(path)).ensemble


def test_a_missing_template_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"birds.yaml: ensemble: cannot read .*nothing.txt"):
        _ = spec(ensemble=str(tmp_path / "nothing.txt")).ensemble


@pytest.fixture(autouse=True)
def no_manifests(tmp_path, monkeypatch):
    """Planning reads the class names of manifests in the working folder's results."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("variant", ["clip", "clip_adapter", "kgcoop", "prograd"])
def test_a_variant_starts_from_any_prompts(variant, tmp_path):
    file, sentences = tmp_path / "mine.txt", tmp_path / "digits.json"
    file.write_text("the {}.")
    sentences.write_text(json.dumps({"zero": ["A round digit."]}))
    dataset = {"template": "a {}.", "ensemble": ["one {}.", "two {}."], "descriptions": str(sentences)}
    assert evaluated(variant, **dataset).templates == evaluated(variant, "template", **dataset).templates == ("a {}.",)
    assert evaluated(variant, "ensemble", **dataset).templates == ("one {}.", "two {}.")
    assert evaluated(variant, ["my {}."], **dataset).templates == ("my {}.",)
    assert evaluated(variant, str(file), **dataset).templates == ("the {}.",)
    described = evaluated(variant, "descriptions", **dataset)
    assert (described.templates, described.descriptions) == ((), prompts.digest({"zero": ("A round digit.",)}))
    assert evaluated(variant, {"default": "template", "digits": "ensemble"}, **dataset).templates[0] == "one {}."


def test_only_prograd_takes_the_words_of_a_template():
    assert evaluated("prograd", "ensemble", template="a {}.").template == "a {}."
    assert evaluated("prograd", ["a type of pet, a photo of a {}."]).template == "a type of pet, a photo of a {}."
    assert evaluated("kgcoop").template is None


def test_templates_of_the_authors_own_code():
    """KgCoOp kgcoop.py:37-54, ProGrad prograd.py:201-217, where they differ from CoOp's."""
    variants, registry = Registry().variants, Registry()

    def of(variant: str, dataset: str) -> tuple[str, ...]:
        return registry.dataset(dataset, "test").templates(variants[variant].prompts_for(dataset), "test")

    assert of("kgcoop", "dtd") == ("a photo of a {}, a type of texture.",)
    assert of("kgcoop", "eurosat") == of("prograd", "eurosat") == ("a centered satellite photo of {}.",)
    assert of("prograd", "dtd") == ("a texture of {}.",)
    assert of("prograd", "food101") == ("a type of food, a photo of {}.",)
    assert of("clip_ensemble", "eurosat") == registry.dataset("eurosat", "test").ensemble


@pytest.mark.parametrize(
    ("variant", "chosen", "message"),
    [
        ("coop", "ensemble", r"mine.yaml: variants.coop.prompts_from: coop uses no hand-crafted prompts; remove the key"),
        ("clip", "ensembles", "prompts_from: 'ensembles' is not valid; expected template, ensemble or descriptions"),
        ("clip", ["a photo."], r"prompts_from: \['a photo.'\] is not valid"),
        ("clip", {"digits": "ensemble"}, "prompts_from: .* is not valid; .* or {default: one of these"),
        ("clip", {"default": "template", "digit": "ensemble"}, "prompts_from: unknown dataset 'digit'.*Did you mean 'digits'"),
        ("clip", "nothing.txt", "mine.yaml: variant 'clip': digits: prompts_from: cannot read nothing.txt"),
        ("clip", "descriptions", "needs class descriptions, but dataset 'digits' has none; add `descriptions: FILE.json`"),
    ],
)  # fmt: skip
def test_prompts_that_cannot_be_are_one_line(variant, chosen, message):
    with pytest.raises(UserError, match=message):
        evaluated(variant, chosen)


def test_only_variants_that_use_prompts_change_with_them(tmp_path):
    sentences = tmp_path / "digits.json"
    sentences.write_text(json.dumps({"zero": ["A round digit."]}))
    rows = ["clip", "clip_ensemble", "clip_descriptions", "coop", "prograd"]

    def identities(**settings) -> dict[str, str]:
        made = plan({}, rows, **{"ensemble": ["a {}."], "descriptions": str(sentences), **settings})
        return {evaluation.run.variant: evaluation.identity for evaluation in made.evaluations}

    def changed(**settings) -> set[str]:
        after = identities(**settings)
        return {name for name, identity in before.items() if after[name] != identity}

    before = identities()
    assert changed(template="a drawing of a {}.") == {"clip", "prograd"}
    assert changed(ensemble=["a {}.", "the {}."]) == {"clip_ensemble"}
    sentences.write_text(json.dumps({"zero": ["A very round digit."]}))
    assert changed() == {"clip_descriptions"}


def test_titles_and_prompts_are_not_part_of_the_data():
    assert spec().data == spec(title="Other", ensemble=["a {}."], descriptions="x.json").data
    assert spec().data != spec(reader={**READER, "file": "other.json"}).data


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"cat": "fur"}', "cat: expected a list of sentences, got 'fur'"),
        ('{"cat": []}', r"cat: expected a list of sentences, got \[\]"),
        ('{"cat": ["fur", " "]}', "cat: sentence 2 is ' '; write a sentence, or remove it"),
        ('{"cat": ["fur", 3]}', "cat: sentence 2 is 3;"),
        ('{"cat": ["fur"], "cat": ["claws"]}', "cat: appears twice"),
        ('["fur"]', r"expected \{class name: \[sentences\]\}, got list"),
        ('{"cat": ["fur"]', "not valid JSON"),
    ],
)
def test_wrong_descriptions_are_one_line(tmp_path, text, message):
    path = tmp_path / "cats.json"
    path.write_text(text)
    with pytest.raises(UserError, match=rf"cats.json: {message}"):
        prompts.descriptions(path)


def test_names_of_descriptions_may_differ_in_case_and_underscores():
    content = {"wild cat": ("claws",), "Dog": ("a tail",), "dog": ("a bark",)}
    assert prompts.of_classes(content, ["Wild_Cat", "dog"], "x") == {"Wild_Cat": ("claws",), "dog": ("a bark",)}
    with pytest.raises(
        UserError, match="x: 2 classes have no sentences: fish, ray; add them under the dataset's class names"
    ):
        prompts.of_classes(content, ["fish", "dog", "ray"], "x")


def test_planning_names_classes_without_descriptions_once_it_knows_the_classes():
    from cocoop.manifest import Manifest
    from cocoop.planning.stages import MANIFEST

    Path("digits.json").write_text(json.dumps({"zero": ["A round digit."]}))
    spec = evaluated("clip_descriptions", descriptions="digits.json")
    manifest = Path(MANIFEST.outputs["manifest"].format(dataset="digits", id=spec.data))
    Manifest("digits", ("zero", "one"), {}).save(manifest)
    with pytest.raises(UserError, match="digits.json: 1 class has no sentences: one"):
        evaluated("clip_descriptions", descriptions="digits.json")
