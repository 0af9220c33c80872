"""Tables of scores: a row for each case of one method, or for each method."""

from __future__ import annotations

from typing import TYPE_CHECKING

from knowncircuits.cli.layout import Column, Row, Table, number_text, words

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

    from knowncircuits.evaluation.comparison.summary import Summary


def case_scores_table(title: str, cases: pd.DataFrame) -> Table:
    """The rows of `case_scores`, and macro means below."""
    from knowncircuits.cases.registry import list_cases
    from knowncircuits.evaluation.comparison.scored import VALUES
    from knowncircuits.evaluation.scoring.set_scores import OF_SETS

    of_sets = [name for name in OF_SETS if name in cases]
    rows = cases.to_dict("records")
    structural = cases[cases["case"].isin(list_cases("structural"))]
    for what, part in (("structural", structural), ("all", cases)):
        if len(part) > 1 and not (what == "all" and len(structural) == len(cases)):
            means = part[[*VALUES, *of_sets]].mean().to_dict()
            rows.append({"case": f"mean of {len(part)} {what}", **means})
    columns = [
        words("case"),
        _number("AUROC", "auroc"),
        _number("AP", "average_precision"),
        *_of_sets(of_sets),
        _number("precision at size", "precision_at_size"),
        _number("AP at random", "prevalence"),
        _number("edges", "n_items", "g"),
        _number("true", "n_true", "g"),
        _number("models", "models", "g"),
        _number("seconds", "seconds", ".2f"),
    ]
    drops = ("models", "seconds", "true", "edges", "AP at random", "precision at size")
    return Table(columns, rows, drops, f"{title} (AUROC at random: 0.5)")


def summary_table(summary: Summary) -> Table:
    """Several methods over a suite: a row for each, with intervals; see `summary.summarise`."""
    columns = [
        words("method"),
        _number("AUROC", "auroc"),
        _range("AUROC 95% cases", "auroc"),
        _range("AUROC 95% pairs", "auroc_pairs"),
        _number("AP", "average_precision"),
        _range("AP 95% cases", "average_precision"),
        *_of_sets(summary.table.columns),
        _number("no embed", "no-embed"),
        _number("circuit nodes", "circuit-nodes"),
        _number("AP there", "circuit-nodes_ap"),
        _number("heads", "head"),
        _number("nodes", "node"),
        _number("P at size", "precision_at_size"),
        _number("own F1", "f1"),
        Column("rank", _rank),
        _number("seconds", "seconds", ".2f"),
        Column("passes", _passes),
    ]
    drops = "own F1,P at size,passes,no embed,nodes,heads,AP there,circuit nodes"
    drops += ",AUROC 95% pairs,seconds,AP 95% cases"
    most = (*drops.split(","), "rank", "AUROC 95% cases")
    return Table(columns, summary.table.to_dict("records"), most, summary.title)


def _of_sets(names: Iterable[str]) -> list[Column]:
    """Columns of those of economy and best match that there are."""
    shown = {"economy": "economy", "best_match": "best match"}
    return [_number(shown[name], name) for name in names if name in shown]


def _number(name: str, key: str, form: str = ".3f") -> Column:
    """A column of plain numbers; empty where a row, as one of means, has none."""

    def show(row: Row) -> str:
        if key not in row:
            return ""
        return number_text(row[key]) if form == ".3f" else f"{row[key]:{form}}"

    return Column(name, show)


def _range(name: str, key: str) -> Column:
    """A column of intervals; - where there is none."""

    def show(row: Row) -> str:
        low, high = row[f"{key}_low"], row[f"{key}_high"]
        return "-" if low != low else f"{low:.3f}-{high:.3f}"

    return Column(name, show)


def _rank(row: Row) -> str:
    low, high = row["rank_low"], row["rank_high"]
    if low != low:
        return "-"
    return f"{low:.0f}" if low == high else f"{low:.0f}-{high:.0f}"


def _passes(row: Row) -> str:
    """Forward and backward passes for each pair."""
    forward, backward = row["forward_passes"], row["backward_passes"]
    return "-" if forward != forward else f"{forward:.0f}+{backward:.0f}"
