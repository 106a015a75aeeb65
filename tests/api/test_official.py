"""Checkpoints of the authors' code: their accuracies, what they prove, and ours in their layout."""

import io as byte_io
import pickle
import shutil
import zipfile
from collections import OrderedDict

import pytest
import torch

import cocoop
from cocoop.api import inert, official
from cocoop.errors import UserError
from tests.api.conftest import CHECKPOINTS, line_of, train

COOP, COCOOP = CHECKPOINTS / "coop_digits.model.pth.tar-200", CHECKPOINTS / "cocoop_digits.model.pth.tar-10"
BASE = ("digit zero", "digit one", "digit two", "digit three", "digit four")
EXPECTED = [(COOP, "base", 186), (COOP, "new", 120), (COCOOP, "base", 171), (COCOOP, "new", 125)]


def loaded(path, **options) -> "cocoop.Prompt":
    return cocoop.load(path, **({"backbone": "tiny", "classnames": BASE, "device": "cpu"} | options))


@pytest.mark.parametrize(("path", "subset", "right"), EXPECTED, ids=lambda part: getattr(part, "name", str(part)))
def test_accuracies_of_the_authors_are_reproduced(path, subset, right, digits):
    pictures, truth, classnames = digits.of(subset)
    labels = loaded(path).predict(pictures, classnames).labels
    assert sum(label == true for label, true in zip(labels, truth, strict=True)) == right


@pytest.mark.parametrize("path", [COOP, COCOOP])
def test_embeddings_refuse_names_in_another_order(path):
    with pytest.raises(UserError) as error:
        loaded(path, classnames=(BASE[1], BASE[0], *BASE[2:]))
    assert "in another order" in line_of(error)


def test_embeddings_refuse_another_number_of_names():
    with pytest.raises(UserError, match="was trained on 5 classes, but 4 class names are given"):
        loaded(COOP, classnames=BASE[:4])


def test_embeddings_refuse_another_backbone():
    with pytest.raises(UserError) as error:
        loaded(COOP, backbone="tiny_vit")
    assert "trained with another" in line_of(error)


def test_a_checkpoint_needs_a_backbone():
    with pytest.raises(UserError, match="does not name its backbone; give it"):
        loaded(COOP, backbone=None)


def test_initial_words_must_fit_the_context():
    assert loaded(COOP, words="a photo of a").recipe.params["ctx_init"] == "a photo of a"
    with pytest.raises(UserError, match="has 4 context vectors, but the words 'a photo' are of another number"):
        loaded(COOP, words="a photo")


def test_folders_around_a_checkpoint_are_found(tmp_path):
    inner = tmp_path / "output/prompt_learner"
    inner.mkdir(parents=True)
    shutil.copy(COOP, inner / "model.pth.tar-200")
    shutil.copy(COOP, inner / "model.pth.tar-50")
    with pytest.raises(UserError, match="has several checkpoints"):
        loaded(tmp_path / "output")
    (inner / "checkpoint").write_text("model.pth.tar-200\n")
    assert official.locate(tmp_path / "output") == official.locate(inner) == inner / "model.pth.tar-200"
    (inner / "checkpoint").write_text("model.pth.tar-7\n")
    with pytest.raises(UserError, match="names 'model.pth.tar-7', which is not in its folder"):
        official.locate(inner)


@pytest.mark.parametrize(("method", "real"), [("coop", COOP), ("cocoop", COCOOP)])
def test_ours_in_their_layout_has_their_keys(method, real, trained, digits, tmp_path):
    ours = trained(method).prompt
    file, said = official.write(ours, tmp_path / "official")
    assert (tmp_path / "official/prompt_learner/checkpoint").read_text().strip() == file.name == "model.pth.tar-1"
    assert "CTX_INIT 'a photo of a'" in said
    assert official.write(ours, tmp_path / "official") == (file, said)
    (file.parent / "model.pth.tar-2").write_bytes(file.read_bytes())
    file.unlink()
    with pytest.raises(UserError, match="holds other checkpoints; export into a new folder"):
        official.write(ours, tmp_path / "official")
    (file.parent / "model.pth.tar-2").rename(file)
    content, theirs = torch.load(file, weights_only=True), inert.load(real)
    assert set(content) == set(theirs)
    state, expected = content["state_dict"], theirs["state_dict"]
    assert isinstance(state, OrderedDict) and list(state) == list(expected)
    assert {k: (t.shape, t.dtype) for k, t in state.items()} == {k: (t.shape, t.dtype) for k, t in expected.items()}
    assert all(torch.equal(state[key], expected[key]) for key in official.OF_CLASSES)  # the same backbone and names
    again = loaded(file, words="a photo of a")
    pictures, _, names = digits.of("new", 40)
    assert torch.equal(again.logits(pictures, names), ours.logits(pictures, names))


def test_class_specific_contexts_keep_their_classes(digits, tmp_path):
    ours = train(digits, tmp_path / "run", "coop", params={"csc": True}, shots=1, training={"epochs": 1})
    file, said = official.write(ours, tmp_path / "official")
    assert "CSC True" in said and "CTX_INIT ''" in said
    again = loaded(file, words="a photo of a")
    pictures, _, names = digits.of("base", 10)
    assert torch.equal(again.logits(pictures), ours.logits(pictures))
    with pytest.raises(UserError, match="class-specific contexts of 5 classes"):
        again.predict(pictures, [*names, "seven"])


def test_methods_of_others_have_no_official_layout(trained, tmp_path):
    with pytest.raises(UserError, match="the authors' layout holds CoOp and CoCoOp"):
        official.write(trained("taskres").prompt, tmp_path / "official")
    assert not (tmp_path / "official").exists()


class Payload:
    """Unpickling it writes the canary."""

    def __init__(self, canary) -> None:
        self.canary = canary

    def __reduce__(self):
        return exec, (f"open({str(self.canary)!r}, 'w').close()",)


def saved(content, path):
    torch.save(content, path)
    return path


@pytest.mark.parametrize("where", ["scheduler", "state_dict", "whole"])
def test_a_payload_is_refused_and_never_runs(where, tmp_path):
    canary = tmp_path / "canary"
    content = {"state_dict": {"ctx": torch.zeros(4, 128)}, "epoch": 1, "scheduler": None}
    content = Payload(canary) if where == "whole" else content | {where: Payload(canary)}
    path = saved(content, tmp_path / "model.pth.tar-1")
    with pytest.raises(UserError) as error:
        loaded(path)
    assert not canary.exists()
    assert line_of(error).startswith(f"{path}: refused, because it names builtins.exec")
    torch.load(path, weights_only=False)  # else the test would prove nothing
    assert canary.exists()


def test_a_payload_in_another_protocol_never_runs(tmp_path):
    canary, path, buffer = tmp_path / "canary", tmp_path / "model.pth.tar-1", byte_io.BytesIO()
    torch.save({"state_dict": {}}, buffer)
    source = zipfile.ZipFile(buffer)
    with zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            evil = name.endswith("data.pkl")
            archive.writestr(name, pickle.dumps(Payload(canary), protocol=4) if evil else source.read(name))
    with pytest.raises(UserError, match="nothing was run"):
        loaded(path)
    assert not canary.exists()


def test_objects_of_an_optimizer_become_inert():
    content = inert.load(COCOOP)
    assert isinstance(content["scheduler"]["successor"], inert.Inert)
    assert content["epoch"] == 10
    assert "torch.optim.lr_scheduler.CosineAnnealingLR" not in torch.serialization.get_safe_globals()


DAMAGED = {
    "empty": b"",
    "text": b"not a checkpoint",
    "cut": COOP.read_bytes()[:100_000],
    "pickle": pickle.dumps({"state_dict": {}}),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_damaged_files_are_reported_in_one_line(kind, tmp_path):
    path = tmp_path / "model.pth.tar-1"
    path.write_bytes(DAMAGED[kind])
    with pytest.raises(UserError) as error:
        loaded(path)
    assert line_of(error).startswith(f"{path}: not a checkpoint")


OTHERS = {
    "no state": ({"epoch": 1}, "holds no state_dict of tensors"),
    "a number": ({"state_dict": {"ctx": 1}}, "holds no state_dict of tensors"),
    "maple": ({"state_dict": {"prompt_learner.ctx": torch.zeros(2, 128)}}, "expected the tensors of CoOp"),
    "flat": ({"state_dict": {"ctx": torch.zeros(128)}}, "expected the tensors of CoOp"),
    "nan": ({"state_dict": {"ctx": torch.full((4, 128), torch.nan)}}, "ctx holds NaN or infinity"),
    "wide": (
        {"state_dict": {"ctx": torch.zeros(4, 512)}},
        "its context is 512 wide, but the backbone's tokens are 128",
    ),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_contents_are_reported_in_one_line(kind, tmp_path):
    content, message = OTHERS[kind]
    with pytest.raises(UserError) as error:
        loaded(saved(content, tmp_path / "model.pth.tar-1"))
    assert message in line_of(error)


def test_names_are_read_from_the_embeddings_where_they_are_unique(tmp_path):
    found = loaded(COOP, classnames=None)
    assert found.classnames == BASE
