"""The report: one HTML page with all tables and figures, classes and confusions, and links to settings and logs."""

from cocoop.reporting.page.page import build

__all__ = ["build"]
