"""Prompts as tokens and context slots, assembled like the reference (CoOp trainers/coop.py:66-177)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cocoop.errors import UserError, shown
from cocoop.text.tokenizer import Tokenizer

POSITIONS = ("end", "middle", "front")
PLACEHOLDER = "X"


def spoken(name: str) -> str:
    """A class name as written in a prompt: underscores become spaces (coop.py:98, zsclip.py:43)."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Prompts:
    """One prompt per class: token ids, and -(m + 1) for context vector m; each ends with EOT or padding.

    shared: whether all classes have the same context; otherwise contexts are class-specific.
    """

    classes: tuple[tuple[int, ...], ...]
    n_ctx: int
    shared: bool = True


def templated(tokenizer: Tokenizer, context_length: int, classnames: Sequence[str], template: str) -> Prompts:
    """Hand-crafted prompts without a context (zero-shot CLIP)."""
    texts = [template.format(spoken(name)) for name in classnames]
    return Prompts(
        tuple(
            tokenizer.padded(_tokens(tokenizer, context_length, text, name), context_length)
            for text, name in zip(texts, classnames, strict=True)
        ),
        0,
    )


def texts_of(
    classnames: Sequence[str], templates: str | Sequence[str] | Mapping[str, Sequence[str]], underscores: bool = False
) -> tuple[tuple[str, ...], ...]:
    """The texts of each class, from one or several templates or by class name. Raises a UserError if a class has none.

    underscores: whether class names keep them in templates.
    """
    if isinstance(templates, Mapping):
        for name in classnames:
            if not templates.get(name):
                raise UserError(f"class {name!r} has no descriptions; add some.")
        return tuple(tuple(templates[name]) for name in classnames)
    if isinstance(templates, str):
        templates = (templates,)
    if not templates:
        raise UserError("templates: the list is empty; give at least one template, such as 'a photo of a {}.'.")
    names = classnames if underscores else map(spoken, classnames)
    return tuple(tuple(template.format(name) for template in templates) for name in names)


def sentences(tokenizer: Tokenizer, context_length: int, texts: Sequence[str]) -> Prompts:
    """Complete texts, one prompt each. Raises a UserError for a text that is too long."""
    found = []
    for text in texts:
        tokens = tokenizer.whole(text)
        if len(tokens) > context_length:
            raise UserError(
                f"text {shown(text)}: it has {len(tokens)} tokens, but the text tower takes at most {context_length}; shorten it."
            )
        found.append(tokenizer.padded(tokenizer.ended(tokens), context_length))
    return Prompts(tuple(found), 0)


def learnable(
    tokenizer: Tokenizer,
    context_length: int,
    classnames: Sequence[str],
    n_ctx: int,
    words: str | None = None,
    position: str = "end",
    shared: bool = True,
    template: str = "{}.",
) -> Prompts:
    """Prompts with M = `n_ctx` learned vectors.

    words: initial words of the context; None for placeholders.
    position: position of the class name: "end", "middle" or "front".
    template: text after the context (TCP: "{}, a type of pet."); templates other than "{}." require position "end".
    As in the reference, a word that the tokenizer splits leaves its last pieces in the prompt as fixed tokens.
    """
    if position != "end" and template != "{}.":
        raise ValueError(f"position {position!r}: supports only the template {'{}.'!r}, not {template!r}")
    lead = spoken(words) if words else " ".join([PLACEHOLDER] * n_ctx)
    skip = n_ctx if words else len(tokenizer.encode(lead))  # a placeholder is always one token only for CLIP
    slots = tuple(-(m + 1) for m in range(n_ctx))
    half = n_ctx // 2
    classes = []
    for name in classnames:
        tokens = _tokens(tokenizer, context_length, f"{lead} {template.format(spoken(name))}", name, skip - n_ctx)
        front, suffix = tokens[: tokenizer.front], tokens[tokenizer.front + skip :]
        length = tokenizer.length(spoken(name), lead)
        own, rest = suffix[:length], suffix[length:]  # class name and "."
        order = {
            "end": (slots, suffix),
            "middle": (slots[:half], own, slots[half:], rest),
            "front": (own, slots, rest),
        }[position]
        classes.append(tokenizer.padded(sum(order, front), context_length))
    return Prompts(tuple(classes), n_ctx, shared)


def _tokens(tokenizer: Tokenizer, context_length: int, text: str, name: str, spare: int = 0) -> tuple[int, ...]:
    """Token ids of a prompt; spare: how many of them will be replaced by fewer context vectors."""
    tokens = tokenizer.whole(text)
    if len(tokens) - spare > context_length:
        raise UserError(
            f"class {shown(name)}: its prompt has {len(tokens) - spare} tokens, but the text tower takes at most {context_length}; "
            "use fewer context tokens or a shorter class name."
        )
    return tokenizer.ended(tokens)
