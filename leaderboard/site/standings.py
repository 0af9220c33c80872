"""The board's numbers as the pages need them: looked up many times, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from knowncircuits.cases.difficulty import Difficulty
from knowncircuits.cases.registry import load_case
from knowncircuits.evaluation.catalogue.measuring import difficulty_of
from knowncircuits.evaluation.scoring.views import VIEWS, view_circuit
from knowncircuits.leaderboard.board import Board
from knowncircuits.leaderboard.exports import records
from knowncircuits.leaderboard.scoring import VALUES
from knowncircuits.leaderboard.site.drawing import strip_svg
from knowncircuits.leaderboard.site.render import rank_text
from knowncircuits.leaderboard.slices import HEADLINE
from knowncircuits.leaderboard.truth import Certified

VIEW_TEXTS = {
    "edge": "edges",
    "no-embed": "without embed",
    "circuit-nodes": "between circuit nodes",
    "head": "heads",
    "node": "nodes",
}


@dataclass(frozen=True, eq=False)
class Standings:
    """A board, and what follows from it."""

    board: Board

    @cached_property
    def models_of(self) -> Mapping[str, list[Certified]]:
        """The models of each case."""
        found: dict[str, list[Certified]] = {}
        for model in self.board.models.values():
            found.setdefault(model.case, []).append(model)
        return found

    @cached_property
    def difficulties(self) -> Mapping[str, Difficulty]:
        """How hard each case's circuit is to find; raises UnknownNameError for an unknown case."""
        return {name: difficulty_of(load_case(name)) for name in self.models_of}

    @cached_property
    def tests(self) -> list[dict[str, Any]]:
        """Paired tests between all ranked methods."""
        if HEADLINE not in {s.key for s in self.board.slices}:
            return []
        return records(self.board.tests())

    @cached_property
    def prevalence(self) -> Mapping[str, float]:
        """The share of true edges of each case, mean over its models: AP at random."""
        return {
            case: float(np.mean([view_circuit(m.circuit, "edge").truth.mean() for m in models]))
            for case, models in self.models_of.items()
        }

    @cached_property
    def _tables(self) -> Mapping[tuple[str, str], list[dict[str, Any]]]:
        return {
            (s.key, view): [self._dress(row) for row in records(self.board.standings(s.key, view))]
            for s in self.board.slices
            for view in VIEWS
        }

    @cached_property
    def _rows(self) -> Mapping[tuple[str, str, str], dict[str, Any]]:
        return {
            (key, view, row["method"]): row
            for (key, view), rows in self._tables.items()
            for row in rows
        }

    @cached_property
    def _means(self) -> Mapping[tuple[str, str], np.ndarray]:
        return {key: table.to_numpy(dtype=np.float64) for key, table in self.board.means.items()}

    @cached_property
    def _places(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        table = self.board.means["edge", VALUES[0]]
        return (
            {c: i for i, c in enumerate(table.index)},
            {m: i for i, m in enumerate(table.columns)},
        )

    def rows(self, slice_key: str, view: str) -> list[dict[str, Any]]:
        """The standings of a slice and view, in order."""
        return self._tables.get((slice_key, view), [])

    def row(self, slice_key: str, view: str, method: str) -> dict[str, Any]:
        """One method's row."""
        return self._rows[slice_key, view, method]

    def mean(self, view: str, value: str, case: str, method: str) -> float:
        """A method's mean on a case; NaN where there is none."""
        cases, methods = self._places
        return float(self._means[view, value][cases[case], methods[method]])

    def by_method(self, view: str, value: str, case: str) -> np.ndarray:
        """Every method's mean on a case, in the order of the submissions."""
        row: np.ndarray = self._means[view, value][self._places[0][case]]
        return row

    def strip(self, method: str) -> Any:
        """A method's precision on the structural cases, from shallow to deep, as a drawing."""
        cases = self._by_depth
        return strip_svg([self.mean("edge", "average_precision", c, method) for c in cases])

    @cached_property
    def _by_depth(self) -> list[str]:
        cases = next((s.cases for s in self.board.slices if s.key == HEADLINE), ())

        def depth(case: str) -> tuple[int, int, str]:
            hard = self.difficulties[case]
            return hard.depth, hard.true_edges, case

        return sorted(cases, key=depth)

    @staticmethod
    def _dress(row: dict[str, Any]) -> dict[str, Any]:
        whole = row["models"] == row["of_models"]
        state = "control" if row["kind"] == "control" else "" if whole else "partial"
        return {
            **row,
            "state": state,
            "rank": rank_text(row["rank_low"], row["rank_high"]),
            "coverage": f"{row['models']} of {row['of_models']} models",
        }
