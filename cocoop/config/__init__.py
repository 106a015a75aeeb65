"""Configuration: registries of YAML files, typed specs, and the plan of jobs they expand to. Free of torch."""

from cocoop.config.plan import Block, Evaluation, Plan, experiment_content
from cocoop.config.registry import Registry
from cocoop.config.specs import BackboneSpec, DatasetSpec, ExperimentSpec, TrainingSpec, VariantSpec

__all__ = [
    "BackboneSpec",
    "Block",
    "DatasetSpec",
    "Evaluation",
    "ExperimentSpec",
    "Plan",
    "Registry",
    "TrainingSpec",
    "VariantSpec",
    "experiment_content",
]
