"""The board as data: what a stranger called a method is text in every format."""

from __future__ import annotations

import csv
import io

import pandas as pd

from knowncircuits.leaderboard.exports import board_csv


def test_no_title_is_a_formula() -> None:
    """Spreadsheets run what begins like one; numbers, below zero too, stay numbers."""
    titles = ['=HYPERLINK("http://a")', "+1", "-x", "@SUM(A1)", "\uff1dA1", "plain = text"]
    table = pd.DataFrame({"title": titles, "value": [-1.5, 2, 3, 4, 5, 6]})
    rows = list(csv.DictReader(io.StringIO(board_csv(table))))
    assert [row["title"] for row in rows] == [f"'{title}" for title in titles[:-1]] + titles[-1:]
    assert [float(row["value"]) for row in rows] == [-1.5, 2, 3, 4, 5, 6]
