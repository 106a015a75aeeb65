"""The text encoder of a backbone that is in memory: what `text_encoder.save` and `load` give, without a file."""

from dataclasses import replace

from cocoop.backbone.model import Backbone
from cocoop.text import hf_tokenizer
from cocoop.text.literal import why_literal
from cocoop.text.prompt_encoder import DEFAULT_BUDGET_MB
from cocoop.text.text_encoder import TextEncoder
from cocoop.text.tower import TextTower


def text_encoder_of(backbone: Backbone, budget_mb: int = DEFAULT_BUDGET_MB) -> TextEncoder:
    """The exact prompt encoder if the text tower supports it, else the literal one.

    budget_mb: memory for the text tower's activations.
    """
    model, precision = backbone.model, backbone.spec.precision
    tokenizer = hf_tokenizer.of(backbone.spec)
    if why_literal(model) or tokenizer.oddity:
        encoder = TextEncoder.literal(model, tokenizer, budget_mb, precision)
    else:
        assert tokenizer.sot is not None and tokenizer.eot is not None  # else it is odd
        tower = TextTower.from_open_clip(model, tokenizer.sot, tokenizer.eot).to(backbone.device)
        encoder = TextEncoder.fast(tower.in_precision(precision), budget_mb)
    return replace(encoder, fingerprint=backbone.fingerprint)
