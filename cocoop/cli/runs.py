"""Parses the JSON of --run and --evaluation and checks it against the method's file."""

from cocoop.cli.arguments import parsed
from cocoop.config.draw import Draw
from cocoop.config.registry import Registry
from cocoop.config.validation import definition, of_key, validate
from cocoop.config.variants import check_params, check_selection
from cocoop.errors import UserError
from cocoop.run import Evaluation, Run, parsed_as
from cocoop.splits import SUBSET, half_of

RUN, EVALUATION, DRAW = "--run", "--evaluation", "--draw"


def run_of(text: str) -> Run:
    """The run of the --run option."""
    run = Run.from_dict(parsed(text, RUN), RUN)
    _check(run, RUN)
    return run


def draw_of(text: str) -> Draw:
    """The draw of the --draw option of fewshot."""
    return parsed_as(Draw, parsed(text, DRAW), DRAW)


def evaluation_of(text: str) -> Evaluation:
    """The evaluation of the --evaluation option."""
    evaluation = Evaluation.from_dict(parsed(text, EVALUATION), EVALUATION)
    subsets = {"subsets": [_plain(subset) for subset in evaluation.subsets]}
    validate(subsets, {"properties": {"subsets": of_key("experiment", "target_subsets")}}, EVALUATION)
    if evaluation.together and not {"base", "new"} <= set(evaluation.subsets):
        raise UserError(
            f"{EVALUATION}: together: true needs the subsets base and new, got {list(evaluation.subsets)}; test on both."
        )
    _check_templates(evaluation.templates, EVALUATION)
    _check(evaluation.run, f"{EVALUATION}: run")
    return evaluation


def _check(run: Run, where: str) -> None:
    """Applies the same checks as to the files of a configuration."""
    content = run.to_dict() | {"seeds": list(run.seeds), "subset": _plain(run.subset)}
    shape = {
        "seeds": of_key("config", "seeds"),
        "subset": of_key("experiment", "target_subsets")["items"],
        "implementation": of_key("method", "class"),
        "inputs": of_key("method", "inputs"),
        "temperature": of_key("method", "temperature"),
    }
    noise = {"label_noise": {"kind": run.draw.noise_kind, "rates": [run.draw.noise]}, "imbalance": [run.draw.imbalance]}
    validate(noise, {"properties": {key: of_key("experiment", key) for key in noise}}, f"{where}: draw")
    validate(content, {"properties": shape}, where)
    _check_templates(run.templates, where)
    if run.training is not None:
        training = content["training"] | {"betas": list(run.training.betas)}
        validate(training, definition("method", "training"), f"{where}: training")
    validate({"selection": run.selection}, {"properties": {"selection": of_key("method", "selection")}}, where)
    registry = Registry()
    if run.method not in registry.names("methods"):  # a method without a file: its class checks the parameters
        return
    file = registry.read("methods", run.method, where)
    check_params(run.params, file, f"{where}: params")
    check_selection(run.selection, file, where)
    by_gradient = file["learns"] == "by_gradient"
    if by_gradient != (run.training is not None):
        expected = "expected training settings, got null" if by_gradient else "expected null"
        raise UserError(f"{where}: training: {expected}, because {run.method} has learns: {file['learns']}.")
    if run.trainable != (file["learns"] != "nothing" or run.temperature != "none"):
        expected = "expected 0" if run.trainable else "expected 1 or more"
        raise UserError(
            f"{where}: shots: {expected}, got {run.shots}, because {run.method} has learns: {file['learns']}."
        )


def _plain(subset: str) -> str:
    """The name of a subset without the number of its halves; anything else as it is, to be refused."""
    return half_of(subset)[0] if SUBSET.fullmatch(subset) else subset


def _check_templates(templates: tuple[str, ...], where: str) -> None:
    for template in templates:
        validate({"template": template}, {"properties": {"template": of_key("dataset", "template")}}, where)
