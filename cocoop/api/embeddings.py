"""Embeddings of class names in the authors' checkpoints: computed, compared, and read back as names."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cocoop.errors import UserError, shown
from cocoop.text.prompts import PLACEHOLDER, spoken
from cocoop.text.text_encoder import TextEncoder


def token_ids(text: TextEncoder, names: Sequence[str], contexts: int, words: str | None) -> Tensor:
    """Ids (C, L) of the authors' prompts "X X X X name." or, with initial words, "a photo of a name." (coop.py:66-104).

    Raises a UserError for a prompt that is too long.
    """
    lead = spoken(words) if words else " ".join([PLACEHOLDER] * contexts)
    rows = []
    for name in names:
        ids = text.tokenizer.whole(f"{lead} {spoken(name)}.")
        if len(ids) > text.context_length:
            raise UserError(f"class {shown(name)}: its prompt has {len(ids)} tokens, more than {text.context_length}.")
        rows.append([*ids, *[0] * (text.context_length - len(ids))])
    return torch.tensor(rows, device=text.device)


def embedded(text: TextEncoder, names: Sequence[str], contexts: int, words: str | None) -> Tensor:
    """Token embeddings (C, L, D) of these prompts."""
    return text.table[token_ids(text, names, contexts, words)]


def same_suffix(text: TextEncoder, names: Sequence[str], contexts: int, words: str) -> bool:
    """Whether the same tokens follow the context with initial words and without."""
    with_words, without = (token_ids(text, names, contexts, lead)[:, 1 + contexts :] for lead in (words, None))
    return torch.equal(with_words, without)


def check(
    suffix: Tensor, text: TextEncoder, names: Sequence[str], contexts: int, words: str | None, where: str
) -> None:
    """Raises a UserError unless `suffix` (C, L - 1 - M, D) embeds what follows the context in the prompts of these names.

    That proves that the backbone and the names are those of the training.
    """
    if suffix.shape[0] != len(names):
        raise UserError(f"{where}: was trained on {suffix.shape[0]} classes, but {len(names)} class names are given.")
    expected = embedded(text, names, contexts, words)[:, 1 + contexts :].cpu()
    if suffix.shape != expected.shape:
        raise UserError(
            f"{where}: its prompts have {1 + contexts + suffix.shape[1]} tokens of width {suffix.shape[2]}, but the backbone's "
            f"have {text.context_length} of width {text.width}; it was trained with another."
        )
    same = _comparable(suffix) == _comparable(expected)
    differ = (~same.flatten(1).all(1)).nonzero()[:, 0].tolist()
    if not differ:
        return
    found = names_of(suffix, text, where)  # raises an error if the embeddings are another backbone's
    raise UserError(
        f"{where}: was trained on other class names, or in another order, or from initial words of another length: class "
        f"{differ[0] + 1} is {found[differ[0]]!r} there, {names[differ[0]]!r} is given ({len(differ)} of {len(names)} differ)."
    )


def names_of(suffix: Tensor, text: TextEncoder, where: str) -> tuple[str, ...]:
    """The class names (in lower case) that `suffix` (C, L - 1 - M, D) embeds.

    Raises a UserError if it holds vectors that are no token embeddings of the backbone, and if two tokens share a vector.
    """
    if suffix.ndim != 3 or suffix.shape[2] != text.width:
        raise UserError(
            f"{where}: its token embeddings are not as wide as the backbone's; it was trained with another."
        )
    tokens = by_vector(text.table)
    names = []
    for of_class in _comparable(suffix).numpy():
        keys = [row.tobytes() for row in of_class]
        if strange := [key for key in keys if key not in tokens]:
            raise UserError(
                f"{where}: {len(strange)} of {len(keys)} token embeddings are not among the backbone's; it was trained with "
                "another."
            )
        ids = [tokens[key] for key in keys]
        of_name = ids[: next((place for place, same in enumerate(ids) if text.tokenizer.eot in same), None)]
        if any(len(same) > 1 for same in of_name):
            raise UserError(
                f"{where}: its class names cannot be read, because the backbone has the same vector for several tokens; "
                "give classnames."
            )
        decoded = text.tokenizer.inner.decode([token for [token] in of_name])
        names.append(" ".join(decoded.split()).removesuffix(".").strip())
    return tuple(names)


def by_vector(table: Tensor) -> dict[bytes, list[int]]:
    """The tokens that have a vector, by its bytes in half precision, in the order of their ids; table: (vocabulary, D)."""
    found: dict[bytes, list[int]] = {}
    for number, row in enumerate(_comparable(table).numpy()):
        found.setdefault(row.tobytes(), []).append(number)
    return found


def _comparable(values: Tensor) -> Tensor:
    """Token embeddings on the CPU in half precision: that of the authors' setting, in which other settings agree with it."""
    return values.detach().cpu().half()
