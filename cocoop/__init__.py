"""A reproducible benchmark of prompt learning for CLIP-like models. Importing this package never imports torch."""

__version__ = "0.2.0"
