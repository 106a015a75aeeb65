"""Small text towers of every kind that open_clip builds, with real Hugging Face tokenizers trained on a few sentences."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

from cocoop.backbone import architecture
from cocoop.backbone import model as backbone
from cocoop.config.specs import BackboneSpec
from cocoop.text import hf_tokenizer as foreign
from cocoop.text import text_encoder as text

NAMES = ["cat", "german shorthaired pointer", "wild_dog", "A320"]
CORPUS = [
    "a photo of a cat.",
    "a german shorthaired pointer",
    "a wild dog.",
    "abcdefghijklmnopqrstuvwxyz X 0123456789 . A",
]
VOCABULARY = 120
VISION = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
WIDTH = {"width": 32, "heads": 2, "layers": 2}


def tokenizer(folder: Path, kind: str, **changes: Any) -> str:
    """A folder with the files of a trained tokenizer; kind: siglip, bert, roberta or nllb (how a sentence is cut and framed)."""
    specials, frame = {
        "siglip": (["<pad>", "</s>", "<unk>"], "$A </s>"),
        "bert": (["[PAD]", "[UNK]", "[CLS]", "[SEP]"], "[CLS] $A [SEP]"),
        "roberta": (["<s>", "<pad>", "</s>", "<unk>"], "<s> $A </s>"),
        "nllb": (["<s>", "<pad>", "</s>", "<unk>", "eng_Latn"], "eng_Latn $A </s>"),
    }[kind]
    unknown = next(token for token in specials if "unk" in token.lower())
    train = {"special_tokens": specials, "show_progress": False, "vocab_size": VOCABULARY}
    if kind == "bert":
        made, trainer = Tokenizer(models.WordPiece(unk_token=unknown)), trainers.WordPieceTrainer(**train)
        made.normalizer, made.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.BertPreTokenizer()
    elif kind == "roberta":
        train |= {"vocab_size": 400, "initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
        made, trainer = Tokenizer(models.BPE()), trainers.BpeTrainer(**train)
        made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    else:
        made, trainer = Tokenizer(models.Unigram()), trainers.UnigramTrainer(unk_token=unknown, **train)
        made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.train_from_iterator(CORPUS * 3, trainer)
    ids = [(token, made.token_to_id(token)) for token in specials]
    made.post_processor = processors.TemplateProcessing(single=frame, special_tokens=ids)
    roles = {"pad_token": "pad", "unk_token": "unk", "eos_token": "</s", "cls_token": "cls", "sep_token": "sep"}
    chosen = {role: t for role, part in roles.items() for t in specials if part in t.lower()}
    extra = {"additional_special_tokens": ["eng_Latn"]} if kind == "nllb" else {}
    wrapped = transformers.PreTrainedTokenizerFast(tokenizer_object=made, **chosen, **extra, **changes)
    wrapped.save_pretrained(folder)
    return str(folder)


def hugging_face(folder: Path, kind: str) -> str:
    """A folder with the configuration of a small text model of Hugging Face: roberta, xlm-roberta, mt5 or m2m_100 (nllb)."""
    size = {"vocab_size": 400, "pad_token_id": 0 if kind == "mt5" else 1, "eos_token_id": 2, "bos_token_id": 0}
    if kind == "mt5":
        own = {"d_model": 32, "num_layers": 2, "num_heads": 2, "d_ff": 64, "d_kv": 16}
    elif kind == "m2m_100":
        own = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 1, "max_position_embeddings": 90}
        own |= {
            f"{part}_{what}": n
            for part in ("encoder", "decoder")
            for what, n in (("attention_heads", 2), ("ffn_dim", 64))
        }
    else:
        own = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        own |= {"max_position_embeddings": 90, "type_vocab_size": 1}
    transformers.AutoConfig.for_model(kind, **size, **own).save_pretrained(folder)
    return str(folder)


def spec(folder: Path, name: str, text_cfg: Mapping[str, Any], precision: str = "fp32", **config: Any) -> BackboneSpec:
    """A backbone with random weights: an open_clip config of the given text tower, written into `folder`."""
    if "hf_model_name" not in text_cfg:
        text_cfg = WIDTH | dict(text_cfg)
    content = {"embed_dim": 32, "vision_cfg": VISION, "text_cfg": dict(text_cfg), **config}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return BackboneSpec(name, str(path), None, precision)


def side(spec: BackboneSpec, folder: Path, **options: Any) -> tuple[text.TextEncoder, Any]:
    """A backbone's text side by way of its file, as a job gets it, and the open_clip model."""
    loaded, path = backbone.load(spec), folder / f"{spec.name}.safetensors"
    text.save(path, loaded.model, spec.name, loaded.fingerprint, foreign.of(spec))
    settings = {"name": spec.name, "model": spec.model, "pretrained": None, "precision": spec.precision}
    return text.load(path, settings, **options), loaded.model


def known_as(spec: BackboneSpec) -> str:
    """The name under which open_clip knows a backbone's architecture."""
    return architecture.register(spec)
