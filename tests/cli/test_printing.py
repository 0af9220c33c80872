"""Tables in terminals of any width: a number that is printed is a number of the data, whole."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from knowncircuits.cli import app
from knowncircuits.cli.layout import Table, frame_table, numbers, words
from knowncircuits.cli.printing import Output, csv_text, json_text

WIDTHS = (40, 60, 80, 110)
CASES = ("-c", "unique_tokens_first", "-c", "histogram")
SMALL = ("--inputs", "8")

# Every command that prints a table; RUN is a folder of results, and the like.
COMMANDS = {
    "score": "score eap {cases} --zoo 1 --pairs 10 -o {run}/results",
    "score, several": "score eap truth random {cases} --zoo 1 --pairs 10 -o {run}/results",
    "compare": "compare {run}/results",
    "faithfulness": "faithfulness {run}/results",
    "sankey": "sankey {run}/results/eap/histogram/seed0/0.json --truth",
    "sankey of a case": "sankey histogram --zoo 1",
    "sankey at positions": "sankey fraction_of_x --zoo 1 --show eap --edges 5",
    "agreement": "agreement fraction_of_x --zoo 1 --pairs 3 --level head",
    "methods": "methods",
    "cases": "cases",
    "cases check": "cases check --family brackets --pairs 20",
    "run": "run histogram a b a",
    "models": "models list --zoo 1",
    "effects": "effects balanced_parentheses --zoo 1 {small}",
    "effects at positions": "effects histogram --zoo 1 --per-position --ablation mean {small}",
    "effects of edges": "effects fraction_of_x --zoo 1 --granularity edge {small}",
    "realism": "realism fraction_of_x --zoo 1 -x steps=2 -x n_inputs=100 --natural {run}/natural "
    "--pairs 20 {small}",
    "board": "leaderboard table {run}/submissions",
}  # fmt: skip


@pytest.fixture(scope="module")
def words_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], list[str]]:
    """The words of a command, which finds there what it needs."""
    run = tmp_path_factory.mktemp("run")
    places = {"run": run, "cases": " ".join(CASES), "small": " ".join(SMALL)}
    done = CliRunner().invoke(app, COMMANDS["score, several"].format(**places).split())
    assert done.exit_code == 0, done.output
    submit = ["submit", f"{run}/results/eap", f"{run}/results/random", "-o", f"{run}/submissions"]
    done = CliRunner().invoke(app, submit)
    assert done.exit_code == 0, done.output
    return lambda name: COMMANDS[name].format(**places).split()


@contextmanager
def terminal() -> Iterator[io.BytesIO]:
    """Standard output in a pseudo-terminal; what was printed is there at the end."""
    ours, theirs = pty.openpty()
    printed = io.BytesIO()

    def read() -> None:
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            printed.write(part)

    thread, before = Thread(target=read), sys.stdout
    thread.start()
    sys.stdout = os.fdopen(theirs, "w", encoding="utf-8")
    try:
        yield printed
    finally:
        sys.stdout.close()
        sys.stdout = before
        thread.join()
        os.close(ours)


def printed_at(width: int, words: list[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(width))
    with terminal() as printed:
        app(words, standalone_mode=False)
    return re.sub(r"\x1b\[[0-9;]*m", "", printed.getvalue().decode()).replace("\r\n", "\n")


def with_digits(text: str) -> set[str]:
    return {word for word in text.split() if re.search(r"\d", word)}


@pytest.mark.parametrize("name", COMMANDS)
def test_tables_are_whole_and_data_is_alone(
    name: str, words_of: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In every width; and with --format csv the same tables are data, with nothing around it."""
    shown: list[tuple[tuple[Table, ...], Any]] = []
    show = Output.show

    def record(self: Output, *tables: Table, data: Any) -> None:
        shown.append((tables, data))
        show(self, *tables, data=data)

    monkeypatch.setattr(Output, "show", record)
    options = [] if name == "board" else ["--format", "csv"]
    done = CliRunner().invoke(app, [*words_of(name), *options])
    assert done.exit_code == 0, done.output
    ((tables, data),) = shown
    assert tables
    for table in tables:
        check_widths(table)
    if options:
        frame = pd.read_csv(io.StringIO(done.stdout))
        assert len(frame)
        assert not any(str(column).startswith("Unnamed") for column in frame.columns)
        document = json.loads(json_text(data))
        parts = [document] if isinstance(document, list) else document.values()
        rows = [row for part in parts for row in part]
        assert len(rows) == len(frame)
        assert set(rows[0]) <= set(frame.columns)


def check_widths(table: Table) -> None:
    whole = with_digits(table.text())
    for width in WIDTHS:
        text = table.text(width)
        assert with_digits(text.partition("left out")[0]) <= whole, width
        assert max(map(len, text.splitlines())) <= width
        if "left out" not in text:
            assert with_digits(text) == whole


@pytest.mark.parametrize("width", WIDTHS)
def test_the_headline_is_there_in_every_width(
    width: int, words_of: Callable[[str], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In 80 columns AUROC .878 was once printed as 0."""
    data = json.loads(CliRunner().invoke(app, [*words_of("score"), "--format", "json"]).stdout)
    rows = [line.split() for line in printed_at(width, words_of("score"), monkeypatch).splitlines()]
    assert len(data) == 2
    for row in data:
        shown = [row["case"], f"{row['auroc']:.3f}", f"{row['average_precision']:.3f}"]
        assert shown in [cells[:3] for cells in rows]


def test_data_has_all_digits() -> None:
    frame = pd.DataFrame({"x": [1 / 3, float("nan")], "n": [1, 2]})
    assert pd.read_csv(io.StringIO(csv_text(frame))).equals(frame)
    assert json.loads(json_text(frame)) == [{"x": 1 / 3, "n": 1}, {"x": None, "n": 2}]
    both = csv_text({"a": frame, "b": frame[["n"]]})
    assert both.splitlines()[0] == "table,x,n"
    assert len(both.splitlines()) == 5


def test_a_frame_in_every_width() -> None:
    """As the benchmarks print them."""
    frame = pd.DataFrame(
        {
            "step": ["write 200 submissions", "build the site"],
            "seconds": [123.456789, 0.000123456],
            "peak memory, MB": [98765.4321, 12.5],
            "edges of all models": [1234567, 89],
            "times as fast": [1e9, 2.5],
        }
    )
    check_widths(frame_table(frame))
    assert {"123.5", "0.0001235", "9.877e+04", "1234567", "1e+09"} <= with_digits(
        frame_table(frame).text()
    )


def test_columns_are_left_out_in_order_and_then_rows_are_blocks() -> None:
    rows = [{"name": "abc", "x": 0.125, "y": 1234567, "why": "because of this and of that"}]
    columns = [words("name"), numbers("x"), numbers("y"), words("why", wraps=True)]
    table = Table(columns, rows, ("why", "y"), "title")
    assert table.text().splitlines()[-1].split()[:3] == ["abc", "0.125", "1234567"]
    assert "left out: why; --format csv has all" in table.text(38)
    assert "1234567" in table.text(38)
    assert "left out: why, y" in table.text(20).replace("\n ", "")
    assert table.text(9).splitlines()[:4] == ["title", "name: abc", "x: 0.125", "y:"]
