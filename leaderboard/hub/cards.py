"""What the hub shows of a repository: its card, and the benchmark's `eval.yaml`."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pandas as pd

from knowncircuits.leaderboard.choices import HubKind

INDEX = "index.csv"  # lists what is there; the hub's viewer shows it
TAGS = ("mechanistic-interpretability", "circuit-discovery", "knowncircuits")
MOST_ROWS = 200  # of a card's table
ABOUT: Mapping[HubKind, str] = {
    "models": "Transformers that were trained to have a known circuit, each with the circuit and, "
    "where it is certified, the measured effect of every edge.",
    "results": "Scores of edges by circuit-discovery methods, on transformers whose circuits are "
    "known.",
    "submissions": "Submissions to the leaderboard of circuit discovery: the raw scores that a "
    "method gives every edge of certified transformers, from which all numbers are computed.",
    "board": "The leaderboard of circuit discovery, as static pages.",
}
USE: Mapping[HubKind, str] = {
    "models": 'import knowncircuits as kc\n\ntrained = kc.load_trained("models/{first}")\n'
    "trained.model, trained.circuit, trained.certificate",
    "results": 'from knowncircuits.evaluation.runs import read_results\n\nread_results("results")',
    "submissions": "from knowncircuits.leaderboard import rank_submissions, read_submissions\n\n"
    'read, refused = read_submissions("submissions")\nrank_submissions(read)',
    "board": "",
}


def card_text(kind: HubKind, name: str, index: pd.DataFrame, *, license: str) -> str:  # noqa: A002
    """`README.md`: what the hub reads at its top, what is there, and how it is used."""
    title = name.rpartition("/")[2]
    head: dict[str, object] = {"license": license.lower(), "tags": list(TAGS)}
    if kind == "models":
        head |= {"library_name": "knowncircuits"}
    elif kind == "board":
        head |= {"title": title, "sdk": "static", "app_file": "index.html", "pinned": False}
    else:
        head |= {"pretty_name": title}
        head |= {"configs": [{"config_name": "default", "data_files": INDEX}]}
    lines = ["---", *(f"{key}: {json.dumps(value)}" for key, value in head.items()), "---"]
    lines += ["", f"# {title}", "", ABOUT[kind], ""]
    if kind != "board":
        use = USE[kind].replace("{first}", str(index.iloc[0, 0]))
        lines += [
            f"    knowncircuits pull {kind} hf:{name} {kind}",
            "",
            "```python",
            use,
            "```",
            "",
        ]
        lines += ["Files are listed with their sizes and hashes in `knowncircuits.json`.", ""]
        lines += _table(index)
    return "\n".join(lines).rstrip() + "\n"


def eval_text(name: str) -> str:
    """`eval.yaml`, by which a data set of the hub is a benchmark with a leaderboard.

    Each task is a value of the board's headline.
    """
    document = {
        "name": name.rpartition("/")[2],
        "description": ABOUT["submissions"],
        "evaluation_framework": "knowncircuits",
        "tasks": [
            {"id": task, "config": "default", "split": "train"}
            for task in ("structural_auroc", "structural_average_precision")
        ],
    }
    # JSON is YAML, too; a line for each key reads like it.
    return "".join(f"{key}: {json.dumps(value)}\n" for key, value in document.items())


def _table(index: pd.DataFrame) -> list[str]:
    rows: list[list[object]] = [
        list(index),
        ["---"] * len(index.columns),
        *index.head(MOST_ROWS).to_numpy().tolist(),
    ]
    lines = [f"| {' | '.join(map(_cell, row))} |" for row in rows]
    more = len(index) - MOST_ROWS
    return [*lines, *(["", f"And {more} more, in `{INDEX}`."] if more > 0 else [])]


def _cell(value: object) -> str:
    """A stranger's text in a table of Markdown, in which no HTML or link comes of it."""
    text = str(value).replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
    return "".join(f"\\{c}" if c in "\\|`*_[]!#" else c for c in text)
