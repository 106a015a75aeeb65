"""Every architecture that open_clip ships, its text tower in small: on the path it should take, with open_clip's own features."""

import json
from importlib.metadata import version

import open_clip
import pytest
import torch

from cocoop.backbone import architecture
from cocoop.config.specs import BackboneSpec
from cocoop.errors import UserError
from cocoop.io import REPOSITORY, read_tensors
from cocoop.planning.cost.sizes import backbone_size
from cocoop.text import text_encoder as text
from tests.test_environment_files import pins
from tests.text import towers
from tests.text.test_literal import COCA_VISION, DECODER

SMALL = {"width": 16, "heads": 2, "layers": 1}
WORDS = {"bert-base-uncased": "bert", "facebook/nllb": "nllb", "roberta": "roberta", "xlm": "roberta"}
TEXT_MODELS = {"google/mt5": "mt5", "facebook/nllb": "m2m_100", "xlm-roberta": "xlm-roberta", "roberta": "roberta"}


def of_kind(name: str, kinds: dict[str, str], other: str = "") -> str:
    """The kind whose key the name starts with or holds."""
    return next((kind for key, kind in kinds.items() if key in name), other)


def small(name: str, folders: dict[tuple[str, str], str]) -> dict:
    """The architecture's config with a small tower of the same kind; Hugging Face's files are those in `folders`."""
    config = open_clip.get_model_config(name)
    config |= {"embed_dim": 32, "vision_cfg": COCA_VISION if "multimodal_cfg" in config else towers.VISION}
    if "multimodal_cfg" in config:
        config["multimodal_cfg"] = DECODER
    cfg = config["text_cfg"] = config["text_cfg"] | SMALL
    if source := cfg.get("hf_tokenizer_name"):
        cfg |= {"hf_tokenizer_name": folders["tokenizer", of_kind(source, WORDS, "siglip")], "vocab_size": 400}
        cfg["context_length"] = max(cfg.get("context_length", 77), 32)  # the trained tokenizers cut words into letters
    if source := cfg.get("hf_model_name"):
        cfg["hf_model_name"] = folders["model", of_kind(source, TEXT_MODELS)]
    return config


def expected(name: str) -> str:
    """By the config alone, as `plan` counts it: CLIP's words through a causal tower that pools at EOT are fast."""
    return "literal" if backbone_size(BackboneSpec(name, name, None)).literal else "fast"


@pytest.fixture(scope="module")
def taken(tmp_path_factory) -> dict[str, str]:
    """Which path each architecture takes. Those whose text towers are the same in small are built once."""
    folder = tmp_path_factory.mktemp("architectures")
    made = {"tokenizer": towers.tokenizer, "model": towers.hugging_face}
    kinds = {"tokenizer": ("siglip", "bert", "roberta", "nllb"), "model": ("mt5", "m2m_100", "xlm-roberta", "roberta")}
    folders = {(what, k): made[what](folder / what / k, k) for what, several in kinds.items() for k in several}
    seen: dict[str, str] = {}
    found = {}
    for name in sorted(architecture.BUILT_IN):
        config = small(name, folders)
        key = json.dumps(config, sort_keys=True)
        if key not in seen:
            seen[key] = path_of(name, config, folder)
        found[name] = seen[key]
    return found


def path_of(name: str, config: dict, folder) -> str:
    spec = towers.spec(folder, f"in_small_{name}", config.pop("text_cfg"), **config)
    try:
        side, model = towers.side(spec, folder)
    except UserError as error:
        return f"refused: {error}"
    _, facts = read_tensors(folder / f"{spec.name}.safetensors", text.KIND)
    sentences = [f"a photo of a {word}." for word in ("cat", "wild dog")]
    with torch.no_grad():
        expected = model.encode_text(open_clip.get_tokenizer(towers.known_as(spec))(sentences))
        features = side.encoder(side.templated(["cat", "wild_dog"], "a photo of a {}."))(torch.zeros(1, 0, side.width))
    torch.testing.assert_close(features[0], expected, rtol=1e-5, atol=1e-6, msg=lambda text: f"{name}: {text}")
    return "literal" if facts["literal"] else "fast"


def test_every_architecture_uses_the_right_text_encoder(taken):
    wrong = {name: path for name, path in taken.items() if path != expected(name)}
    assert not wrong and len(taken) > 100


def test_the_counts_are_those_of_the_docs(taken):
    assert version("open_clip_torch") == pins()["open-clip-torch"]
    count = {path: list(taken.values()).count(path) for path in ("fast", "literal")}
    refused = len(taken) - sum(count.values())
    docs = (REPOSITORY / "docs" / "performance.md").read_text(encoding="utf-8")
    sentence = (
        f"Of the {len(taken)} architectures of open_clip 3.3, {count['fast']} take the fast path, {count['literal']} take the "
        "literal path, and none is refused."
    )
    assert refused == 0
    assert sentence in docs.replace("\n", " "), sentence
