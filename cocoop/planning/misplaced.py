"""Keys of a configuration on the wrong level, the mistake that YAML's indentation invites."""

from collections.abc import Iterator, Mapping
from typing import Any

from cocoop.config.validation import keys_of, of_key
from cocoop.errors import UserError

EXAMPLE = "`experiments: {base_to_new: {train_datasets: [digits]}}`"


def check(config: Mapping[str, Any], where: str) -> None:
    """Raises a UserError for a key of an experiment or of a variant that is indented too little."""
    own, of_experiment = set(keys_of("config")), set(keys_of("experiment"))
    for key, value in config.items():
        methods = key == "variants" and isinstance(value, list)
        if methods or (key in of_experiment and key not in own):
            what = "a list of variants" if methods else "this key"
            raise UserError(
                f"{where}: {key}: {what} belongs to an experiment; indent it below the experiment's name: {EXAMPLE}."
            )
    for place, key in _named(config.get("experiments")):
        if key in of_experiment:
            raise UserError(
                f"{where}: {place}: {key!r} is a key of an experiment, not an experiment; indent it further than the "
                f"experiment's name: {EXAMPLE}."
            )
    variants = config.get("variants")
    of_variant = of_key("config", "variants")["additionalProperties"]["properties"]
    for key in variants if isinstance(variants, Mapping) else ():
        if key in of_variant:
            raise UserError(
                f"{where}: variants: {key!r} is a setting of a variant, not a variant; indent it further than the variant's "
                f"name: `variants: {{coop: {{{key}: ...}}}}`."
            )


def _named(experiments: object) -> Iterator[tuple[str, str]]:
    """The keys that stand where names of experiments belong, each with its place."""
    if isinstance(experiments, Mapping):
        yield from (("experiments", str(key)) for key in experiments)
    elif isinstance(experiments, list):
        for number, item in enumerate(experiments):
            yield from ((f"experiments.{number}", str(key)) for key in (item if isinstance(item, Mapping) else ()))
