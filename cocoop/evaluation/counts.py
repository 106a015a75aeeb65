"""Computes the counts and metrics of a record from predicted labels."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from cocoop.metrics import accuracy, mean_class_accuracy

MOST_CONFUSIONS = 20


def tally(
    truth: Sequence[int], predicted: Sequence[int], labels: Sequence[int], classnames: Sequence[str]
) -> dict[str, Any]:
    """Counts per class and metrics of one evaluation. All labels are those of the dataset, `labels` the subset's.

    accuracy is over images (micro), macro_f1 over the classes that have an image, as Dassl's evaluator.py:55-123.
    """
    pairs = Counter(zip(truth, predicted, strict=True))
    total, guessed = Counter(truth), Counter(predicted)
    correct = {label: pairs[label, label] for label in labels}
    f1 = [2 * correct[label] / (total[label] + guessed[label]) for label in labels if total[label]]
    confused = sorted(((-n, t, p) for (t, p), n in pairs.items() if t != p))[:MOST_CONFUSIONS]
    return {
        "correct": sum(correct.values()),
        "total": len(truth),
        "accuracy": accuracy(sum(correct.values()), len(truth)),
        "mean_class_accuracy": mean_class_accuracy([correct[c] for c in labels], [total[c] for c in labels]),
        "macro_f1": sum(f1) / len(f1) if f1 else None,
        "classes": [{"name": classnames[c], "label": c, "correct": correct[c], "total": total[c]} for c in labels],
        "confusions": [{"true": t, "predicted": p, "count": -n} for n, t, p in confused],
    }
