"""Expands a configuration into runs, evaluations and jobs. Does not import torch."""

from cocoop.planning.content import experiment_content, experiment_file
from cocoop.planning.plan import Plan

__all__ = ["Plan", "experiment_content", "experiment_file"]
