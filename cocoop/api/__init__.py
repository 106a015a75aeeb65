"""What was learned, in Python: load a prompt, classify pictures with it, train one, explain it, hand it on (docs/python.md)."""

from cocoop.api.explaining import Explanation, explain
from cocoop.api.loading import load, zero_shot
from cocoop.api.predictions import Predictions
from cocoop.api.prompt import Prompt
from cocoop.api.training import train

__all__ = ["Explanation", "Predictions", "Prompt", "explain", "load", "train", "zero_shot"]
