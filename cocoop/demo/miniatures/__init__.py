"""Small datasets drawn from a seed, written as ordinary image folders with a split file in the CoOp authors' format."""

from cocoop.demo.miniatures.catalogue import MINIATURES
from cocoop.demo.miniatures.writing import draw

__all__ = ["MINIATURES", "draw"]
