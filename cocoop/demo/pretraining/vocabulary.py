"""The tokens that captions can contain. Only their embeddings are trained; all others remain zero."""

from functools import lru_cache

from open_clip.tokenizer import SimpleTokenizer

from cocoop.demo.drawing import flags, glyphs, palette, shapes, textures
from cocoop.demo.pretraining import wording

CONTEXT_LENGTH = 77


@lru_cache(maxsize=1)
def tokenizer() -> SimpleTokenizer:
    """CLIP's standard byte-pair tokenizer."""
    return SimpleTokenizer(context_length=CONTEXT_LENGTH)


def encode(text: str) -> list[int]:
    """[SOS] tokens [EOT], at most 77; a longer caption loses its first words, because the content is at its end."""
    tokens = tokenizer().encode(text)[-(CONTEXT_LENGTH - 2) :]
    return [tokenizer().sot_token_id, *tokens, tokenizer().eot_token_id]


@lru_cache(maxsize=1)
def token_ids() -> list[int]:
    """Sorted ids of every token that a caption can contain."""
    drawn = (palette.NAMES, shapes.NAMES, tuple(map(shapes.plural, shapes.NAMES)), tuple(shapes.COUNTS.values()))
    written = (textures.NAMES, flags.NAMES, glyphs.DIGITS, tuple(glyph.lower() for glyph in glyphs.GLYPHS))
    words = (wording.OPENINGS, wording.LINE_OPENINGS, wording.SURFACES, wording.ENDINGS, wording.FILLERS)
    texts = [text for group in (*drawn, *written, *words) for text in group]
    texts += [wording.BACKGROUND, "a an the and letter digit number flag ."]
    # when words are shuffled, a full stop may replace a comma or a colon, or these may be separate words
    texts += [text + "." for text in texts]
    return sorted({token for text in texts for token in encode(text.replace("{}", ""))})
