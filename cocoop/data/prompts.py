"""What `dataset check` says about a dataset's ensemble and class descriptions: numbers, lengths, and what is missing."""

from collections.abc import Iterator, Sequence

from cocoop.config import DatasetSpec, prompts
from cocoop.data.names import LONGEST, MOST_TOKENS, Tokenize, spoken
from cocoop.errors import UserError, counted, cut, listed, shown

PROBLEM, NOTE = "problem: ", "note: "


def of_ensemble(spec: DatasetSpec, classnames: Sequence[str], tokenize: Tokenize | None) -> Iterator[str]:
    """The number of templates and their source, and prompts that are too long for CLIP: a problem in an ensemble of its own."""
    given = spec.settings.get("ensemble")
    source = given if isinstance(given, str) else f"in config/datasets/{spec.name}.yaml"
    if not given:
        source = f"{prompts.GENERAL} and the template, as the dataset has no `ensemble:`"
    try:
        templates = spec.ensemble
    except UserError as error:
        yield f"{PROBLEM}{error}"
        return
    yield f"ensemble: {counted(len(templates), 'template', 'templates')} ({source})"
    texts = [template.format(spoken(name)) for template in templates for name in classnames]
    yield from _too_long(texts, f"{PROBLEM if given else NOTE}ensemble", tokenize)


def of_descriptions(spec: DatasetSpec, classnames: Sequence[str], tokenize: Tokenize | None) -> Iterator[str]:
    """The number of sentences, and what is wrong with them; nothing for a dataset without descriptions."""
    if spec.descriptions is None:
        return
    try:
        content = prompts.descriptions(spec.descriptions)
        found = prompts.of_classes(content, classnames, str(spec.descriptions))
    except UserError as error:
        yield f"{PROBLEM}descriptions: {error}"
        return
    numbers = [len(found[name]) for name in classnames]
    yield f"descriptions: {sum(numbers)} sentences, {min(numbers)} to {max(numbers)} for each class ({spec.descriptions})"
    used = set(found.values())
    if other := [name for name, sentences in content.items() if sentences not in used]:
        number = counted(len(other), "name matches", "names match")
        yield f"{NOTE}descriptions: {number} no class: {listed(map(cut, other), 5)}"
    yield from _too_long([text for name in classnames for text in found[name]], f"{PROBLEM}descriptions", tokenize)


def _too_long(texts: Sequence[str], where: str, tokenize: Tokenize | None) -> Iterator[str]:
    """States the texts that have too many tokens. A token has at least one byte, so few texts need the tokenizer."""
    if tokenize is None:
        return
    candidates = [text for text in texts if len(text.encode()) + 2 > MOST_TOKENS]
    lengths = {text: len(tokenize(text[:LONGEST])) for text in candidates}
    if bad := [f"{shown(text)} ({length})" for text, length in lengths.items() if length > MOST_TOKENS]:
        yield (
            f"{where}: {counted(len(bad), 'prompt has', 'prompts have')} more than {MOST_TOKENS} tokens, the limit of"
            f" CLIP's text encoder: {listed(bad, 3)}; shorten them"
        )
