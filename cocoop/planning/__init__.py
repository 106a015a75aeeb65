"""From a configuration to the runs, tests and jobs it asks for. Does not import torch."""

from cocoop.planning.plan import Block, Evaluation, Plan, experiment_content

__all__ = ["Block", "Evaluation", "Plan", "experiment_content"]
