"""Tables of scores: a row for each case of one method, or for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowncircuits.cli.printing import number_text, print_table

if TYPE_CHECKING:
    import pandas as pd

    from knowncircuits.evaluation.scoring.summary import Summary

VALUES = ("auroc", "average_precision", "precision_at_size", "prevalence")


def print_case_scores(title: str, table: pd.DataFrame) -> None:
    """Of one method: a row for each case, means over its models and draws, and macro means.

    Args:
        title: above the table.
        table: of `score_results`.
    """
    from knowncircuits.cases import list_cases

    edges = table[table["view"] == "edge"]
    columns = [*VALUES, "n_items", "n_true", "seconds"]
    models = edges.groupby(["case", "variant"], sort=False)[columns].mean()
    cases = models.groupby("case", sort=False).mean()
    cases["models"] = models.groupby("case", sort=False).size()
    rows = [
        (
            str(row["case"]),
            *(number_text(row[value]) for value in VALUES),
            *(f"{row[name]:g}" for name in ("n_items", "n_true", "models")),
            f"{row['seconds']:.2f}",
        )
        for row in cases.reset_index().to_dict("records")
    ]
    structural = cases[cases.index.isin(list_cases("structural"))]
    for what, part in (("structural", structural), ("all", cases)):
        if len(part) > 1 and not (what == "all" and len(structural) == len(cases)):
            means = (number_text(value) for value in part[list(VALUES)].mean())
            rows.append((f"mean of {len(part)} {what}", *means, "", "", "", ""))
    header = ("case", "AUROC", "AP", "precision at size", "AP at random", "edges", "true")
    print(f"{title} (AUROC at random: 0.5)")
    print_table((*header, "models", "seconds"), rows, numbers=range(1, 9))


def print_method_scores(table: pd.DataFrame) -> None:
    """Of several methods: a row for each, by suite, with intervals; see `summary.summarise`."""
    from knowncircuits.evaluation.scoring.summary import summarise

    for summary in summarise(table):
        _print_summary(summary)


def _print_summary(summary: Summary) -> None:
    rows = []
    for row in summary.table.to_dict("records"):
        rows.append(
            (
                row["method"],
                number_text(row["auroc"]),
                _range(row["auroc_low"], row["auroc_high"]),
                _range(row["auroc_pairs_low"], row["auroc_pairs_high"]),
                number_text(row["average_precision"]),
                _range(row["average_precision_low"], row["average_precision_high"]),
                *(number_text(row[name]) for name in ("no-embed", "head", "node")),
                number_text(row["precision_at_size"]),
                number_text(row["f1"]),
                _rank(row["rank_low"], row["rank_high"]),
                f"{row['seconds']:.2f}",
                _passes(row["forward_passes"], row["backward_passes"]),
            )
        )
    print(summary.title)
    header = ("method", "AUROC", "95% cases", "95% pairs", "AP", "95% cases")
    views = ("no embed", "heads", "nodes", "P at size", "own F1", "rank")
    print_table((*header, *views, "seconds", "passes"), rows, numbers=range(1, 14))


def _range(low: float, high: float) -> str:
    return "-" if low != low else f"{low:.3f}-{high:.3f}"


def _rank(low: float, high: float) -> str:
    if low != low:
        return "-"
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"


def _passes(forward: float, backward: float) -> str:
    """Forward and backward passes for each pair."""
    return "-" if forward != forward else f"{forward:.0f}+{backward:.0f}"
