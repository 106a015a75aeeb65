"""Predictions as text: a table for a terminal, CSV, or JSON."""

import json

from tabulate import tabulate

from cocoop.api.predictions import Predictions

DIGITS = 6


def written(found: Predictions, k: int, format: str) -> str:
    """The k best classes of each picture, with probabilities (0..1). format: table, csv or json."""
    if format == "csv":
        return found.table(k).round(DIGITS).to_csv(index=False, lineterminator="\n")
    if format == "json":
        rows = [
            {
                "picture": name,
                "classes": [{"label": g.label, "probability": round(g.probability, DIGITS)} for g in best],
            }
            for name, best in zip(found.pictures, found.top(k), strict=True)
        ]
        return json.dumps(rows, ensure_ascii=False, indent=1) + "\n"
    rows_ = [
        [name, *(text for guess in best for text in (guess.label, f"{guess.probability:.4f}"))]
        for name, best in zip(found.pictures, found.top(k), strict=True)
    ]
    numbers = range(1, min(k, len(found.classnames)) + 1)
    header = ["picture", *(text for n in numbers for text in (f"class {n}", f"p {n}"))]
    return tabulate(rows_, headers=header, tablefmt="simple", disable_numparse=True) + "\n"
