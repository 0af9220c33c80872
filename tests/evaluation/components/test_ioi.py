"""Tools of component analysis on `ioi`, where what each head does is known."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

import knowncircuits as kc
from knowncircuits.cases.ioi import CORRUPTIONS, END, IOI, indirect_object, mentions, subject
from knowncircuits.evaluation.components import (
    act_patch,
    attention,
    backup,
    copy_scores,
    direct_logits,
    path_patch,
    score_nodes,
)
from knowncircuits.evaluation.components.pair import one_pair
from knowncircuits.evaluation.task import Task, make_task
from knowncircuits.models.wired import TRANSFORMATIONS, Wired

DUPLICATE, INHIBITION, MOVER, BACKUP, NEGATIVE = "a1.h0", "a2.h0", "a3.h0", "a4.h0", "a4.h1"
HEADS = (DUPLICATE, INHIBITION, MOVER)
N = 12


@cache
def plain() -> Wired:
    return Wired.of(IOI.compile())


@cache
def both() -> Wired:
    """`ioi_backup`, among heads that are busy with other things."""
    wired = plain()
    wiring = [
        *kc.load_case("ioi_backup").wiring,
        ("host", {"layers": 5, "heads": 3, "shuffle": False, "loudness": 3.0, "seed": 1}),
    ]
    for name, parameters in wiring:
        wired = TRANSFORMATIONS[name].apply(wired, parameters, checked=False)
    return wired


def task_of(wired: Wired, corruption: str = "abc", ablation: str = "resample") -> Task:
    return make_task(wired, N, metric="logit_diff", corruption=corruption, ablation=ablation)  # type: ignore[arg-type]


def by_node(frame: pd.DataFrame, column: str) -> dict[str, float]:
    return dict(zip(frame["node"], frame[column], strict=True))


def test_labels_are_the_cases_own() -> None:
    """Also of pairs that have one answer; said again, they are the same."""
    task = task_of(plain(), "swap")
    rows = range(N)
    assert float(task.value(task.clean_run.logits, every(task)).mean()) == pytest.approx(1)
    assert task.labels is not None
    again = make_task(
        plain(),
        N,
        metric="logit_diff",
        corruption="swap",
        labels=([indirect_object(words(task)[i]) for i in rows], subject),
    )
    assert again.labels is not None
    for mine, theirs in zip(vars(task.labels).values(), vars(again.labels).values(), strict=True):
        assert str(mine) == str(theirs)
    assert make_task(plain(), N).labels is None


def every(task: Task) -> Tensor:
    return torch.arange(task.n_pairs)


def words(task: Task) -> list[list[object]]:
    return [[IOI.vocab[i - 1] for i in row[1:]] for row in task.clean.tolist()]


@pytest.mark.parametrize(
    ("corruption", "expected"), [("abc", (0, 0, 0)), ("s2-io", (1, -1, -1)), ("swap", (1, 1, 1))]
)
def test_patching_what_heads_write(corruption: str, expected: tuple[int, ...]) -> None:
    frame = act_patch(task_of(plain(), corruption), ["z"], only=HEADS)
    assert by_node(frame, "value") == pytest.approx(dict(zip(HEADS, expected, strict=True)))


def test_patching_by_position() -> None:
    """The duplicate token head matters at S2, the others at END."""
    task = task_of(plain())
    frame = act_patch(task, ["z"], per_position=True, only=HEADS)
    places = mentions(task.clean.numpy()[:, 1:] - 1)[:, 2] + 1
    lost = {head: part.set_index("position")["lost"] for head, part in frame.groupby("node")}
    at_s2 = np.bincount(places, minlength=END + 2) / N
    assert lost[DUPLICATE].to_numpy() == pytest.approx(at_s2)
    for head in (INHIBITION, MOVER):
        assert lost[head].to_numpy() == pytest.approx(np.eye(END + 2)[END + 1])


def test_patching_what_heads_read() -> None:
    """With S2->IO: the S-inhibition head moves another name, which the mover asks for."""
    frame = act_patch(task_of(plain(), "s2-io"), ["q", "k", "v", "pattern"], only=HEADS)
    value = {(row.view, row.node): row.value for row in frame.itertuples()}
    assert value["v", INHIBITION] == pytest.approx(-1)
    assert value["q", MOVER] == pytest.approx(-1)
    assert value["pattern", MOVER] == pytest.approx(-1)
    # IO's place and S2 are both keys that hold another name than S: half of each is said.
    assert value["k", MOVER] == pytest.approx(0)
    for view, head in (
        ("q", DUPLICATE),
        ("k", DUPLICATE),
        ("v", DUPLICATE),
        ("pattern", DUPLICATE),
    ):
        assert value[view, head] == pytest.approx(1)
    assert value["k", INHIBITION] == value["q", INHIBITION] == pytest.approx(1)
    assert value["v", MOVER] == pytest.approx(1)


def test_paths() -> None:
    """To `logits` the mover alone; to its queries the S-inhibition head; to its keys nobody."""
    task = task_of(plain())
    direct = by_node(path_patch(task, HEADS), "value")
    assert direct == pytest.approx({DUPLICATE: 1, INHIBITION: 1, MOVER: 0})
    queries = by_node(path_patch(task, HEADS[:2], [f"{MOVER}<q>"]), "value")
    assert queries == pytest.approx({DUPLICATE: 1, INHIBITION: 0})
    keys = by_node(path_patch(task, HEADS[:1], [f"{INHIBITION}<k>"]), "value")
    assert keys == pytest.approx({DUPLICATE: 0})


def test_direct_effects_and_who_takes_over() -> None:
    task = task_of(both(), ablation="zero")
    written = by_node(direct_logits(task), "attribution")
    known = {MOVER: 1.0, NEGATIVE: -0.4}
    assert written == pytest.approx({node: known.get(node, 0.0) for node in written})
    change = backup(task, MOVER)
    assert (change.attrs["before"], change.attrs["after"]) == pytest.approx((0.6, 0.1))
    known = {MOVER: -1.0, BACKUP: 0.5}
    assert by_node(change, "change") == pytest.approx(
        {node: known.get(node, 0.0) for node in written}
    )
    assert backup(task, [MOVER, BACKUP]).attrs["after"] == pytest.approx(-0.4)
    assert backup(task, [MOVER, BACKUP, NEGATIVE]).attrs["after"] == pytest.approx(0)


def test_copies() -> None:
    """Of names alone: a backup copies as the mover does, once it is asked to."""
    frame = copy_scores(task_of(both())).set_index("node")
    assert frame["positive"][frame["positive"] > 0].to_dict() == {MOVER: 1.0, BACKUP: 1.0}
    assert frame["negative"][frame["negative"] > 0].to_dict() == {NEGATIVE: 1.0}


def as_places(where: int | np.ndarray) -> int | Tensor:
    return where if isinstance(where, int) else torch.from_numpy(where)


def test_where_heads_attend() -> None:
    task = task_of(both())
    codes = task.clean.numpy()[:, 1:] - 1
    first, second, s2 = mentions(codes).T
    again = codes[np.arange(N), first] == codes[np.arange(N), s2]
    s1, io = np.where(again, first, second), np.where(again, second, first)
    looked = attention(task, [DUPLICATE, INHIBITION, MOVER, NEGATIVE, BACKUP])
    found = {
        head: looked.between(*map(as_places, (query, key)))[:, looked.nodes.index(head)]
        for head, query, key in (
            (DUPLICATE, s2 + 1, s1 + 1),
            (INHIBITION, END + 1, s2 + 1),
            (MOVER, END + 1, io + 1),
            (NEGATIVE, END + 1, io + 1),
            (BACKUP, END + 1, 0),
        )
    }
    for head, shares in found.items():
        assert shares.tolist() == pytest.approx([1.0] * N), head


@pytest.mark.parametrize(
    ("corruption", "expected"),
    [
        ("abc", {DUPLICATE: 0.6, INHIBITION: 0.6, MOVER: 0.5, NEGATIVE: -0.4, BACKUP: 0}),
        ("s2-io", {DUPLICATE: 0, INHIBITION: 1.2, MOVER: 2.0, NEGATIVE: -0.8, BACKUP: 0}),
        ("swap", {DUPLICATE: 0, INHIBITION: 0, MOVER: 0, NEGATIVE: 0, BACKUP: 0}),
    ],
)
def test_roles_by_corruption(corruption: str, expected: dict[str, float]) -> None:
    """By how much the logit difference falls, 0 for each of the ten busy heads."""
    frame = act_patch(task_of(both(), corruption), ["z"])
    frame["change"] = 0.6 - frame["value"]
    known = {str(node): expected.get(node, 0.0) for node in frame["node"]}
    assert by_node(frame, "change") == pytest.approx(known)
    roles = {role: [node] for node, role in both().circuit.roles.items()}
    areas = score_nodes(frame, roles, column="change").set_index("role")["auroc"]
    sizes = sorted(abs(change) for change in known.values())
    for node, role in both().circuit.roles.items():  # how many of the other 14 are below
        mine = abs(known[node])
        below = [size < mine for size in sizes].count(True)
        equal = sizes.count(mine) - 1
        assert areas[role] == pytest.approx((below + equal / 2) / 14), role


@pytest.mark.parametrize("corruption", CORRUPTIONS)
def test_the_compiled_models_task_has_an_answer_to_lose(corruption: str) -> None:
    task = task_of(plain(), corruption)
    lost = {"abc": 0, "s2-io": -1, "swap": 1}[corruption]
    assert float(task.value(task.corrupted_run.logits, every(task)).mean()) == pytest.approx(lost)


def test_a_pair_of_ones_own_has_its_own_labels() -> None:
    prompt = "Then , {} and {} went to the store . {} gave a ring to"
    clean, other = (prompt.format("Paul", "Emily", name).split() for name in ("Emily", "Paul"))
    task, _ = one_pair(plain(), clean, other, metric="logit_diff")
    assert float(task.value(task.clean_run.logits, every(task))) == pytest.approx(1)
    assert float(task.value(task.corrupted_run.logits, every(task))) == pytest.approx(-1)


@pytest.mark.long
def test_the_table_of_the_docs(root: Path) -> None:
    """Tools by role and corruption, as the page computes them."""
    page = (root / "docs" / "ioi.md").read_text()
    (code,) = re.findall(r"```py\n(.*?)```", page, re.DOTALL)
    namespace: dict[str, pd.DataFrame] = {}
    exec(code, namespace)
    found = namespace["table"].round(2)
    heads = next(line for line in page.splitlines() if line.startswith("| tool |"))
    roles = [head.strip() for head in heads.split("|")[3:-1]]
    n = 0
    for line in page.splitlines():
        if not re.match(r"\| `(act|path|direct|copy|backup)", line) or line.count("|") != 9:
            continue
        tool, corruptions, *cells = (cell.strip(" `") for cell in line.split("|")[1:-1])
        for role, cell in zip(roles, cells, strict=True):
            for corruption, said in zip(corruptions.split(" / "), cell.split(" / "), strict=True):
                assert found.loc[(tool, corruption), role] == pytest.approx(float(said)), line
                n += 1
    assert n == found.size
