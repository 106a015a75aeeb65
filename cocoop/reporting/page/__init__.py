"""One HTML page with everything: what was run, tables, figures, classes and confusions, links to settings and logs."""

from cocoop.reporting.page.page import build

__all__ = ["build"]
