"""The JSON of --run and --evaluation: parsed, and checked against the method's file."""

from cocoop.cli.arguments import parsed
from cocoop.config.registry import Registry, check_params
from cocoop.config.validation import definition, of_key, validate
from cocoop.errors import UserError
from cocoop.run import Evaluation, Run

RUN, EVALUATION = "--run", "--evaluation"


def run_of(text: str) -> Run:
    """The run of a --run option."""
    run = Run.from_dict(parsed(text, RUN), RUN)
    _check(run, RUN)
    return run


def evaluation_of(text: str) -> Evaluation:
    """The evaluation of an --evaluation option."""
    evaluation = Evaluation.from_dict(parsed(text, EVALUATION), EVALUATION)
    subsets = {"subsets": list(evaluation.subsets)}
    validate(subsets, {"properties": {"subsets": of_key("experiment", "target_subsets")}}, EVALUATION)
    _check_templates(evaluation.templates, EVALUATION)
    _check(evaluation.run, f"{EVALUATION}: run")
    return evaluation


def _check(run: Run, where: str) -> None:
    """Checks what a configuration's own files would be checked for."""
    content = run.to_dict() | {"seeds": list(run.seeds)}
    shape = {
        "seeds": of_key("config", "seeds"),
        "subset": of_key("experiment", "target_subsets")["items"],
        "implementation": of_key("method", "class"),
        "inputs": of_key("method", "inputs"),
    }
    validate(content, {"properties": shape}, where)
    _check_templates(run.templates, where)
    if run.training is not None:
        training = content["training"] | {"betas": list(run.training.betas)}
        validate(training, definition("method", "training"), f"{where}: training")
    registry = Registry()
    if run.method not in registry.names("methods"):  # a method from elsewhere: its class says what it takes
        return
    file = registry.read("methods", run.method, where)
    check_params(run.params, file, f"{where}: params")
    by_gradient = file["learns"] == "by_gradient"
    if by_gradient != (run.training is not None):
        wants = "needs training settings" if by_gradient else "takes none; write null"
        raise UserError(f"{where}: training: {run.method} learns {file['learns']} and {wants}.")
    if run.trainable != (file["learns"] != "nothing"):
        wants = "takes 0 shots" if run.trainable else "needs at least 1"
        raise UserError(f"{where}: shots: {run.method} learns {file['learns']} and {wants}, got {run.shots}.")


def _check_templates(templates: tuple[str, ...], where: str) -> None:
    for template in templates:
        validate({"template": template}, {"properties": {"template": of_key("dataset", "template")}}, where)
