"""Small datasets that are drawn from a seed and written as image folders with a split file in the CoOp authors' format."""

from cocoop.demo.miniatures.catalogue import MINIATURES
from cocoop.demo.miniatures.writing import draw

__all__ = ["MINIATURES", "draw"]
