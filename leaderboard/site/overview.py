"""The pages about all methods at once: the board, its breakdown, the comparison, and the texts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from knowncircuits.errors import SubmissionError
from knowncircuits.evaluation.scoring.views import VIEWS
from knowncircuits.leaderboard.divisions import BUDGETS
from knowncircuits.leaderboard.schema import VERSION, Description
from knowncircuits.leaderboard.site.figures import cost_figure, counted
from knowncircuits.leaderboard.site.render import Page, number_or_none
from knowncircuits.leaderboard.site.standings import VIEW_TEXTS, Standings
from knowncircuits.leaderboard.slices import HEADLINE, LEVELS
from knowncircuits.leaderboard.untrusted import MAX_BYTES

VALUES = {"auroc": "AUROC", "average_precision": "Average precision"}
SHORT = {"auroc": "AUROC", "average_precision": "AP"}
DIFFER = 0.05  # p of two methods that differ, corrected
KINDS = {"suite": "suites", "family": "families", "difficulty": "difficulty"}


def index_page(standings: Standings) -> Page:
    """The board."""
    people = {
        s.id: ", ".join(author.name for author in s.description.authors)
        for s in standings.board.submissions
    }
    rows = [
        {
            **row,
            "authors": people[row["method"]],
            "text": f"{row['title']} {row['method']} {people[row['method']]}",
            "strip": standings.strip(row["method"]),
        }
        for row in standings.rows(HEADLINE, "edge")
    ]
    methods = [row for row in rows if row["state"] != "control"]
    charts = [(name, cost_figure(methods, value, name)) for value, name in SHORT.items()]
    charts = [(name, chart) for name, chart in charts if chart]
    uncounted = [r for r in methods if not (r["state"] or counted(r, "auroc"))] if charts else []
    context = {
        "rows": rows,
        "charts": charts,
        "uncounted": uncounted,
        "slices": standings.board.slices,
        "budgets": BUDGETS,
    }
    return Page("index.html", "index.html", context)


def standings_data(standings: Standings) -> dict[str, Any]:
    """All standings for the board's script, submissions by number."""
    ids = [submission.id for submission in standings.board.submissions]
    place = {name: i for i, name in enumerate(ids)}

    def pack(row: dict[str, Any]) -> list[Any]:
        areas = [
            [number_or_none(row[f"{value}{end}"], 3) for end in ("", "_low", "_high")]
            for value in VALUES
        ]
        ranks = [
            None if math.isnan(row[end]) else int(row[end]) for end in ("rank_low", "rank_high")
        ]
        costs = [_three_digits(row[name]) for name in ("passes", "seconds")]
        return [place[row["method"]], *ranks, *areas, row["models"], *costs]

    slices = {
        s.key: {
            "text": f"{len(s.cases)} {s.title.partition(':')[0]} cases"
            + (" (structural)" if s.kind != "suite" else ""),
            "models": sum(len(standings.models_of[case]) for case in s.cases),
            "standings": {view: [pack(r) for r in standings.rows(s.key, view)] for view in VIEWS},
        }
        for s in standings.board.slices
    }
    controls = [place[s.id] for s in standings.board.submissions if s.description.kind == "control"]
    return {"standings": {"headline": HEADLINE, "ids": ids, "controls": controls, "slices": slices}}


def breakdown_page(standings: Standings) -> Page:
    """Means by suite, family and difficulty, and by granularity."""
    board = standings.board
    columns = [
        (s.title.partition(":")[0], f"{s.title}, {len(s.cases)} cases") for s in board.slices
    ]
    kinds = groupby(board.slices, lambda s: s.kind)
    groups = [(KINDS[kind], len(list(group))) for kind, group in kinds]
    tables = []
    for value, text in VALUES.items():
        rows = [
            {
                "id": row["method"],
                "title": row["title"],
                "state": row["state"],
                "values": [
                    standings.row(s.key, "edge", row["method"])[value] for s in board.slices
                ],
            }
            for row in standings.rows(HEADLINE, "edge")
        ]
        title = f"{text} of edges, by kind of case"
        tables.append(_table(title, groups, columns, rows, value == "auroc"))
    for value, text in VALUES.items():
        rows = [
            {
                "id": row["method"],
                "title": row["title"],
                "state": row["state"],
                "values": [standings.row(HEADLINE, view, row["method"])[value] for view in VIEWS],
            }
            for row in standings.rows(HEADLINE, "edge")
        ]
        views = [(VIEW_TEXTS[view], f"{text} of {VIEW_TEXTS[view]}") for view in VIEWS]
        title = f"{text} on structural cases, by granularity"
        tables.append(_table(title, [], views, rows, value == "auroc"))
    return Page("breakdown.html", "breakdown.html", {"tables": tables})


def _table(
    title: str, groups: list[Any], columns: list[Any], rows: list[Any], heat: bool
) -> dict[str, Any]:
    return {"title": title, "groups": groups, "columns": columns, "rows": rows, "heat": heat}


def compare_page(standings: Standings) -> Page:
    """The comparison of any two methods; its numbers are in `comparison_data`."""
    methods = [
        {"id": row["method"], "title": row["title"]} for row in standings.rows(HEADLINE, "edge")
    ]
    return Page("compare.html", "compare.html", {"methods": methods})


def comparison_data(standings: Standings) -> dict[str, Any]:
    """Each method's mean on each case, structural ones first, and the tests, methods by number."""
    rows = standings.rows(HEADLINE, "edge")
    place = {row["method"]: i for i, row in enumerate(rows)}
    structural = next((s.cases for s in standings.board.slices if s.key == HEADLINE), ())
    cases = [*structural, *(c for c in standings.models_of if c not in set(structural))]
    tests = {}
    for test in standings.tests:
        a, b = place[test["a"]], place[test["b"]]
        a12 = test["a12"] if a < b else 1 - test["a12"]
        numbers = [float(f"{x:.4g}") for x in (test["p"], test["p_holm"], a12)]
        tests[f"{min(a, b)},{max(a, b)}"] = numbers
    values = {
        value: [
            [
                number_or_none(standings.mean("edge", value, case, row["method"]), 6)
                for case in cases
            ]
            for row in rows
        ]
        for value in VALUES
    }
    return {
        "comparison": {
            "methods": [{"id": row["method"], "title": row["title"]} for row in rows],
            "first": _first_pair(rows, standings.tests, place),
            "cases": cases,
            "n_structural": len(structural),
            **values,
            "tests": tests,
        }
    }


def _first_pair(
    rows: Sequence[Mapping[str, Any]],
    tests: Sequence[Mapping[str, Any]],
    place: Mapping[str, int],
) -> list[int]:
    """The best method, and the next one that differs from it, as far as tests tell."""
    if not rows:
        return []
    best = rows[0]["method"]
    pairs = [test for test in tests if best in (test["a"], test["b"])]
    other = {place[test["b"] if test["a"] == best else test["a"]]: test for test in pairs}
    differ = [i for i, test in sorted(other.items()) if test["p_holm"] < DIFFER]
    farthest = max(other, key=lambda i: abs(other[i]["difference"]), default=min(1, len(rows) - 1))
    return [0, differ[0] if differ else farthest]


def text_pages(refused: Sequence[SubmissionError]) -> list[Page]:
    """How to read the board, and how to submit."""
    fields = [
        (name, field.description or _WORDS.get(name, ""), field.is_required())
        for name, field in Description.model_fields.items()
    ]
    submit = {
        "fields": fields,
        "schema_version": VERSION,
        "most_bytes": MAX_BYTES // 1_000_000,
    }
    return [
        Page("about.html", "about.html", {"refused": list(refused), "levels": LEVELS}),
        Page("submit.html", "submit.html", submit),
    ]


_WORDS = {
    "schema_version": str(VERSION),
    "title": "how the method is called",
    "authors": "name and, if wanted, url",
    "links": "title and url of papers, code and the like",
    "description": "what the method does; several lines are fine",
    "options": "of the method, by name",
    "conventions": "n_pairs, seeds, metric, ablation, corruption",
}


def _three_digits(value: float) -> float | None:
    """As `short_text` shows it, of which a thousand and more are whole."""
    if math.isnan(value):
        return None
    return float(f"{value:.0f}" if value >= 1000 else f"{value:.3g}")
