"""Text towers with tokenizers and models of Hugging Face: features are those of open_clip's own tokenizer and encode_text."""

import sys

import open_clip
import pytest
import torch

from cocoop.errors import UserError
from cocoop.text import hf_tokenizer as foreign
from cocoop.text import prompts
from cocoop.text import text_encoder as text
from tests.text import towers
from tests.text.towers import NAMES

TEMPLATE = "A photo of a {}."
SIGLIP = {
    "context_length": 48, "vocab_size": 120, "no_causal_mask": True, "pool_type": "last", "proj_bias": True,
    "norm_kwargs": {"eps": 1e-6}, "act_kwargs": {"approximate": "tanh"}, "tokenizer_kwargs": {"clean": "canonicalize"},
}  # fmt: skip
CLIPA = SIGLIP | {"proj_bias": False, "tokenizer_kwargs": {"strip_sep_token": True}}
WORLDWIDE = {"context_length": 40, "vocab_size": 400, "pool_type": "eos", "eos_id": 2}
TOWERS = {  # tokenizer, text model of Hugging Face, text tower
    "siglip": ("siglip", None, SIGLIP),
    "clipa": ("bert", None, CLIPA),
    "worldwide": ("roberta", None, WORLDWIDE),
    "roberta": ("roberta", "roberta", {"hf_pooler_type": "mean_pooler"}),
    "mt5": ("siglip", "mt5", {"hf_pooler_type": "mean_pooler"}),
    "nllb": ("nllb", "m2m_100", {"hf_pooler_type": "cls_pooler", "hf_proj_type": "linear"}),
}
REASONS = {
    "siglip": "no causal mask",
    "clipa": "no causal mask",
    "worldwide": "pooled by 'eos'",
    "roberta": "HFTextEncoder",
    "mt5": "HFTextEncoder",
    "nllb": "HFTextEncoder",
}
FRONT = {"siglip": [], "bert": ["[CLS]"], "roberta": ["<s>"], "nllb": ["eng_Latn"]}


def made(folder, name, **changes):
    kind, model, config = TOWERS[name]
    config = config | {"hf_tokenizer_name": towers.tokenizer(folder / "tokenizer", kind)} | changes
    if model:
        config["hf_model_name"] = towers.hugging_face(folder / "model", model)
    return towers.spec(folder, f"small_{name}", config, custom_text=True, init_logit_bias=-10)


@pytest.fixture(scope="module", params=TOWERS)
def tower(request, tmp_path_factory):
    """(name, spec, text side by way of its file, open_clip model, open_clip's own tokenizer)."""
    folder = tmp_path_factory.mktemp(request.param)
    spec = made(folder, request.param)
    side, model = towers.side(spec, folder)
    return request.param, spec, side, model, open_clip.get_tokenizer(towers.known_as(spec))


def nothing(side):
    return torch.zeros(1, 0, side.width)


def test_hand_crafted_prompts_are_equal_to_open_clips(tower):
    _, _, side, model, tokenize = tower
    with torch.no_grad():
        expected = model.encode_text(tokenize([TEMPLATE.format(name.replace("_", " ")) for name in NAMES]))
        found = side.encoder(side.templated(NAMES, TEMPLATE))(nothing(side))[0]
    assert torch.equal(found, expected)
    assert len(expected.unique(dim=0)) == len(NAMES)


def test_context_of_words_is_the_sentence(tower):
    """Initial words stand where they stand in the sentence, also those that the tokenizer cuts into pieces."""
    _, _, side, model, tokenize = tower
    context = side.embedded_words("a photo of a", 4)[None].expand(2, -1, -1).clone().requires_grad_()
    found = side.encoder(side.learnable(NAMES, 4, words="a photo of a"))(context)
    expected = model.encode_text(tokenize([f"a photo of a {name.replace('_', ' ')}." for name in NAMES]))
    torch.testing.assert_close(found, expected.expand(2, -1, -1), rtol=1e-5, atol=1e-6)
    found.square().sum().backward()
    assert (context.grad.abs().sum(-1) > 0).all()


@pytest.mark.parametrize("position", prompts.POSITIONS)
def test_learned_prompts_have_the_contexts_in_place(tower, position):
    name, _, side, _, tokenize = tower
    hub, front = tokenize.tokenizer, FRONT[TOWERS[name][0]]
    (entries,) = side.learnable(["wild_dog"], 3, position=position).classes
    assert len(entries) == side.context_length == tokenize.context_length
    assert entries[: len(front)] == tuple(hub.convert_tokens_to_ids(front))
    pieces = [hub.convert_ids_to_tokens(e).strip("▁Ġ#") if e >= 0 else f"<{-e}>" for e in entries[len(front) :]]
    spoken = "".join(piece for piece in pieces if piece not in hub.all_special_tokens).removesuffix(".")
    assert spoken == {"end": "<1><2><3>wilddog", "middle": "<1>wilddog<2><3>", "front": "wilddog<1><2><3>"}[position]


def test_loading_is_silent(tower, caplog):
    with caplog.at_level("INFO"):
        foreign.of(tower[1])
    assert not caplog.records


def test_the_file_names_the_reason(tower, tmp_path, caplog):
    name, _, side, model, _ = tower
    with caplog.at_level("INFO"):
        text.save(tmp_path / "text.safetensors", model, "mine", "fingerprint", side.tokenizer)
    assert len(caplog.records) == 1 and REASONS[name] in caplog.records[0].message


def test_causal_tower_of_another_tokenizer_is_literal(tmp_path):
    """CLIP's own tower, but its words are cut by another tokenizer, whose last token is the end of text."""
    folder = tmp_path / "tokenizer"
    towers.tokenizer(folder, "siglip")
    hub = open_clip.tokenizer.HFTokenizer(str(folder)).tokenizer
    hub.add_special_tokens({"eos_token": "<end>"})
    from tokenizers import processors

    hub.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A <end>", special_tokens=[("<end>", len(hub) - 1)]
    )
    hub.save_pretrained(folder)
    spec = towers.spec(tmp_path, "causal_foreign", {"vocab_size": 200, "hf_tokenizer_name": str(folder)})
    side, model = towers.side(spec, tmp_path)
    tokens = open_clip.get_tokenizer(towers.known_as(spec))([f"a {name}" for name in NAMES[:2]])
    assert tokens.max() == len(hub) - 1
    found = side.encoder(side.templated(NAMES[:2], "a {}"))(nothing(side))[0]
    assert torch.equal(found, model.encode_text(tokens))


def refused(spec):
    with pytest.raises(UserError) as error:
        foreign.of(spec)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_end_of_text_that_argmax_pooling_misses_is_refused(tmp_path):
    spec = made(tmp_path, "worldwide", pool_type="argmax")
    assert "its end of text is not the largest token" in refused(spec)


def test_prompts_that_cannot_be_copied_are_refused(tmp_path):
    folder = towers.tokenizer(tmp_path / "words", "bert", bos_token="[CLS]", eos_token="[SEP]")
    config = CLIPA | {"hf_tokenizer_name": folder, "tokenizer_mode": "clips"}
    spec = towers.spec(tmp_path, "clips", config, custom_text=True)
    assert "its order of tokens does not support learned prompts" in refused(spec)


def test_padding_on_the_left_is_preserved(tmp_path):
    folder = towers.tokenizer(tmp_path / "left", "siglip", padding_side="left")
    spec = towers.spec(tmp_path, "left", SIGLIP | {"hf_tokenizer_name": folder}, custom_text=True)
    tokenizer = foreign.of(spec)
    (entries,) = prompts.learnable(tokenizer, 48, ["cat"], 2).classes
    assert entries[0] == 0 and entries[-1] == 1 and {-1, -2} < set(entries)


def test_missing_package_is_named(tmp_path, monkeypatch):
    spec = made(tmp_path, "siglip")
    monkeypatch.setitem(sys.modules, "transformers", None)
    message = refused(spec)
    assert message.startswith("backbone 'small_siglip': tokenizer ") and "pip install transformers" in message


def test_unavailable_tokenizer_is_reported(tmp_path):
    spec = towers.spec(tmp_path, "absent", SIGLIP | {"hf_tokenizer_name": "nobody/no-such-tokenizer"}, custom_text=True)
    message = refused(spec)
    assert message.startswith("backbone 'absent': tokenizer nobody/no-such-tokenizer: cannot be loaded (")
    assert message.endswith("copy the folder here, and set hf_tokenizer_name to its path in a JSON model config.")


def test_text_model_without_a_tokenizer_is_refused(tmp_path):
    config = {"hf_model_name": towers.hugging_face(tmp_path / "model", "roberta")}
    assert "has hf_model_name without hf_tokenizer_name" in refused(towers.spec(tmp_path, "no_words", config))


def test_a_prompt_that_does_not_fit_names_class_and_length(tmp_path):
    tokenizer = foreign.of(made(tmp_path, "siglip"))
    for build in (
        lambda: prompts.templated(tokenizer, 48, ["wild_dog"], "very " * 19 + "{}"),
        lambda: prompts.learnable(tokenizer, 48, ["wild_dog"], 45),
    ):
        with pytest.raises(
            UserError, match="class 'wild_dog': its prompt has .. tokens, but the text tower takes at most 48"
        ):
            build()


def test_words_that_cleaning_removes_are_refused(tower):
    name, _, side, _, _ = tower
    if name == "siglip":
        with pytest.raises(UserError, match="words 'a !': too few tokens .1. for 2 context vectors"):
            side.embedded_words("a !", 2)
