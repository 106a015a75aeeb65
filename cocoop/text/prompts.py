"""Prompts as tokens and context slots, assembled as the reference does (CoOp trainers/coop.py:66-177)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cocoop.errors import UserError, shown
from cocoop.text.tokenizer import Tokenizer

POSITIONS = ("end", "middle", "front")
PLACEHOLDER = "X"


def spoken(name: str) -> str:
    """A class name as it stands in a prompt: underscores become spaces (coop.py:98, zsclip.py:43)."""
    return name.replace("_", " ")


@dataclass(frozen=True)
class Prompts:
    """One prompt per class: token ids, and context vector m written as -(m + 1); each ends with EOT or padding.

    shared: one context for all classes; otherwise every class has its own (class-specific contexts).
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
    classnames: Sequence[str], templates: str | Sequence[str] | Mapping[str, Sequence[str]]
) -> tuple[tuple[str, ...], ...]:
    """Each class's texts: by one template or several, or its own by class name; a UserError where a class has none."""
    if isinstance(templates, Mapping):
        for name in classnames:
            if not templates.get(name):
                raise UserError(f"class {name!r} has no descriptions; add some under its name.")
        return tuple(tuple(templates[name]) for name in classnames)
    if isinstance(templates, str):
        templates = (templates,)
    if not templates:
        raise UserError(
            "templates: the list is empty; give at least one, such as 'a photo of a {}.'; a method that uses a dataset's "
            "templates says `needs: [templates]` in its file in config/methods."
        )
    return tuple(tuple(template.format(spoken(name)) for template in templates) for name in classnames)


def sentences(tokenizer: Tokenizer, context_length: int, texts: Sequence[str]) -> Prompts:
    """Whole texts as they are, one prompt each; a UserError for one that is too long."""
    found = []
    for text in texts:
        tokens = tokenizer.whole(text)
        if len(tokens) > context_length:
            raise UserError(
                f"text {text!r}: it has {len(tokens)} tokens and the text tower takes {context_length}; shorten it."
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
    """Prompts with M = `n_ctx` learned vectors at the end, middle or front of the class name's place.

    words: initial words, which take the places of the context in the tokenised prompt; placeholders if None.
    template: what stands behind the context (TCP: "{}, a type of pet."); another than "{}." only with position "end".
    Like the reference, a word that the tokenizer cuts leaves its last pieces in the prompt as fixed tokens.
    """
    if position != "end" and template != "{}.":
        raise ValueError(f"position {position!r}: only {'{}.'!r} can stand around the context, not {template!r}")
    lead = spoken(words) if words else " ".join([PLACEHOLDER] * n_ctx)
    skip = n_ctx if words else len(tokenizer.encode(lead))  # only for CLIP a placeholder is always one token
    slots = tuple(-(m + 1) for m in range(n_ctx))
    half = n_ctx // 2
    classes = []
    for name in classnames:
        tokens = _tokens(tokenizer, context_length, f"{lead} {template.format(spoken(name))}", name, skip - n_ctx)
        front, suffix = tokens[: tokenizer.front], tokens[tokenizer.front + skip :]
        length = tokenizer.length(spoken(name), lead)
        own, rest = suffix[:length], suffix[length:]  # of "{}."
        order = {
            "end": (slots, suffix),
            "middle": (slots[:half], own, slots[half:], rest),
            "front": (own, slots, rest),
        }[position]
        classes.append(tokenizer.padded(sum(order, front), context_length))
    return Prompts(tuple(classes), n_ctx, shared)


def _tokens(tokenizer: Tokenizer, context_length: int, text: str, name: str, spare: int = 0) -> tuple[int, ...]:
    """spare: how many of the tokens will make room for fewer context vectors."""
    tokens = tokenizer.whole(text)
    if len(tokens) - spare > context_length:
        raise UserError(
            f"class {shown(name)}: its prompt has {len(tokens) - spare} tokens and the text tower takes {context_length}; "
            "use fewer context tokens or a shorter class name."
        )
    return tokenizer.ended(tokens)
