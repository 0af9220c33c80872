"""The schema: what it takes, what it refuses, and that the published file is the current one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from knowncircuits.leaderboard.schema import PUBLISHED, Description, json_schema, write_schema

LEAST: dict[str, Any] = {
    "schema_version": 2,
    "id": "mine",
    "title": "Mine",
    "version": "1",
    "authors": [{"name": "Ada"}],
    "command": "",
    "rank_by": "signed",
    "conventions": {"n_pairs": 10, "seeds": [0]},
    "benchmark": "0.1.0",
    "models": {"identity/seed0": "0" * 64},
}


def read(**fields: Any) -> Description:
    return Description.model_validate_json(json.dumps(LEAST | fields))


def test_the_published_schema_is_current(tmp_path: Any) -> None:
    """`knowncircuits maintain schema` writes it again."""
    assert json.loads(PUBLISHED.read_text()) == json_schema()
    write_schema(tmp_path / "schema.json")
    assert (tmp_path / "schema.json").read_text() == PUBLISHED.read_text()


def test_the_least_that_is_taken_reads_back() -> None:
    description = read()
    assert description.kind == "method"
    assert description.conventions.ablation == "resample"
    assert Description.model_validate_json(description.to_json()) == description


def test_every_field_is_described_or_simple() -> None:
    assert set(json_schema()["required"]) == set(LEAST)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"schema_version": 1}, "Input should be 2"),
        ({"id": "../up"}, "should match pattern"),
        ({"id": ".hidden"}, "should match pattern"),
        ({"id": "a" * 65}, "should match pattern"),
        ({"id": "CON"}, "a folder can have on every system"),
        ({"id": "nul.txt"}, "a folder can have on every system"),
        ({"id": "mine."}, "a folder can have on every system"),
        ({"title": "   "}, "neither begins nor ends with blanks"),
        ({"title": "\u00a0"}, "neither begins nor ends with blanks"),
        ({"title": "a\u3164b"}, r"can be seen, got U\+3164"),
        ({"tables": {"identity/seed0": "0"}}, "should match pattern"),
        ({"title": ""}, "at least 1 character"),
        ({"title": "a" * 201}, "at most 200 characters"),
        ({"title": "a\nb"}, r"can be seen, got U\+000A"),
        ({"title": "a\u202eb"}, r"can be seen, got U\+202E"),
        ({"title": "a\u0000b"}, r"can be seen, got U\+0000"),
        ({"description": "a\u2066b"}, r"can be seen, got U\+2066"),
        ({"title": 3}, "valid string"),
        ({"authors": []}, "at least 1 item"),
        ({"authors": [{"name": "A", "url": "javascript:alert(1)"}]}, "should match pattern"),
        ({"links": [{"title": "A", "url": "data:text/html,x"}]}, "should match pattern"),
        ({"links": [{"title": "A", "url": "https://a/\"onload='x'"}]}, "should match pattern"),
        ({"links": [{"title": "A", "url": "http://a b"}]}, "should match pattern"),
        ({"conventions": {"n_pairs": "10", "seeds": [0]}}, "valid integer"),
        ({"conventions": {"n_pairs": 10, "seeds": []}}, "at least 1 item"),
        ({"conventions": {"n_pairs": 10, "seeds": [True]}}, "valid integer"),
        ({"models": {}}, "at least 1 item"),
        ({"models": {"../up/seed0": "0" * 64}}, "should match pattern"),
        ({"models": {"identity/seed0": "0" * 63}}, "should match pattern"),
        ({"options": {"a": {"b": 1}}}, "options.a"),
        ({"options": {"a": 10**400}}, "options.a"),
        ({"rank_by": "size"}, "'absolute' or 'signed'"),
        ({"kind": "baseline"}, "'method' or 'control'"),
        ({"auroc": 1.0}, "Extra inputs"),
        ({"costs": {"identity/seed0": [{"seconds": -1}]}}, "greater than or equal to 0"),
    ],
)
def test_what_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        read(**fields)


def test_what_does_not_go_together_is_all_named() -> None:
    run = {"seconds": 1.0}
    costs = {"other/seed0": [run, run], "identity/seed0": []}
    description = read(conventions={"n_pairs": 10, "seeds": [1, 1]}, costs=costs)
    assert description.contradictions == [
        "conventions.seeds: expected different seeds, got [1, 1]",
        "costs.other/seed0: expected one of `models`",
        "costs.identity/seed0: expected one for each of 2 seeds, got 0",
    ]
    assert read().contradictions == []
    long = read(options={f"option{i}": "x" * 450 for i in range(50)})
    assert long.contradictions == ["options: expected at most 20000 characters, got 23290"]


def test_texts_of_all_scripts_are_taken() -> None:
    text = "Ångström's 方法 — می‌خواهم 👩‍🔬"
    assert read(title=text).title == text
    assert read(description="two\nlines\tand a tab").description.count("\n") == 1


def test_options_keep_their_types() -> None:
    options = {"steps": 5, "rate": 0.5, "name": "x", "flag": True, "none": None, "list": [1, 2.5]}
    assert read(options=options).options == options
