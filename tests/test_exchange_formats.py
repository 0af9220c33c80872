"""Files of EAP-IG and MIB in all their forms."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import knowncircuits as kc
from knowncircuits.errors import GraphError, ResultError
from knowncircuits.evaluation.faithfulness import faithfulness
from knowncircuits.evaluation.scoring import Scores
from knowncircuits.exchange import merge_scores
from knowncircuits.graph import Graph

CFG = {"n_layers": 1, "n_heads": 1, "parallel_attn_mlp": False, "d_model": 4}
SOURCES = ["input", "a0.h0", "m0"]
DESTINATIONS = ["a0.h0<q>", "a0.h0<k>", "a0.h0<v>", "m0", "logits"]
EDGES = (
    *("input->a0.h0<q>", "input->a0.h0<k>", "input->a0.h0<v>", "input->m0", "input->logits"),
    *("a0.h0->m0", "a0.h0->logits", "m0->logits"),
)


def document(
    edges: dict[str, Any] | None = None, nodes: dict[str, Any] | None = None
) -> dict[str, Any]:
    """A file as EAP-IG writes it, with scores and members that are 0 and no one."""
    named = dict.fromkeys((*SOURCES, "logits"))
    return {
        "cfg": CFG,
        "nodes": {n: {"in_graph": False, **(nodes or {}).get(n, {})} for n in named},
        "edges": {e: {"score": 0.0, "in_graph": False, **(edges or {}).get(e, {})} for e in EDGES},
    }


def read(document: dict[str, Any], folder: Path) -> Any:
    path = folder / "file.json"
    path.write_text(json.dumps(document))
    return kc.read_graph_file(path)


def by_name(graph: Graph, values: np.ndarray) -> dict[str, float]:
    return dict(zip(graph.edges, values.tolist(), strict=True))


def tensors(**more: Any) -> dict[str, Any]:
    """`Graph.to_pt` of EAP-IG: rows are sources, columns destinations."""
    return {
        "cfg": CFG,
        "src_nodes": SOURCES,
        "dst_nodes": DESTINATIONS,
        "edges_scores": torch.arange(15.0).reshape(3, 5),
        "edges_in_graph": torch.arange(15).reshape(3, 5) > 3,
        "nodes_in_graph": torch.tensor([True, True, True]),
        **more,
    }


def test_tensors_are_read(tmp_path: Path) -> None:
    torch.save(tensors(), tmp_path / "graph.pt")
    file = kc.read_graph_file(tmp_path / "graph.pt")
    assert file.graph == Graph(1, 1, inputs=("input",))
    expected = dict(zip(EDGES, (0, 1, 2, 3, 4, 8, 9, 14), strict=True))
    assert by_name(file.graph, file.scores) == expected
    assert set(file.circuit().edges()) == {e for e, score in expected.items() if score > 3}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"edges_scores": torch.zeros(2, 5)}, r"edges_scores of shape \[3, 5\], got \[2, 5\]"),
        ({"nodes_in_graph": 3}, r"nodes_in_graph of shape \[3\], got int"),
        ({"cfg": 3}, "expected cfg to be a dict, got int"),
        ({"src_nodes": 3}, "expected src_nodes to be names, got int"),
        ({"neurons_scores": torch.zeros(3, 4)}, "got those of neurons"),
    ],
)
def test_tensors_of_something_else(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    torch.save(tensors(**change), tmp_path / "graph.pt")
    with pytest.raises(ResultError, match=message):
        kc.read_graph_file(tmp_path / "graph.pt")


def test_no_code_in_a_file_of_tensors_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "sprung",))

    torch.save(tensors(cfg=Trap()), tmp_path / "graph.pt")
    with pytest.raises(ResultError, match="expected tensors of a graph, got Weights only load"):
        kc.read_graph_file(tmp_path / "graph.pt")
    assert not (tmp_path / "sprung").exists()
    torch.save({"cfg": CFG}, tmp_path / "graph.pt")
    with pytest.raises(ResultError, match="missing src_nodes, dst_nodes, edges_scores"):
        kc.read_graph_file(tmp_path / "graph.pt")


@pytest.mark.parametrize("as_tensors", [False, True])
def test_scores_of_nodes_are_those_of_their_edges(as_tensors: bool, tmp_path: Path) -> None:
    scores = {"input": 0.5, "a0.h0": -2.0, "m0": 1.0}
    if as_tensors:
        none = torch.zeros(3, 5)
        values = torch.tensor(list(scores.values()))
        found = tensors(edges_scores=none, edges_in_graph=none > 0, nodes_scores=values)
        torch.save(found, tmp_path / "graph.pt")
        file = kc.read_graph_file(tmp_path / "graph.pt")
    else:
        file = read(document(nodes={n: {"score": s} for n, s in scores.items()}), tmp_path)
    assert file.level == "node"
    assert by_name(file.graph, file.scores) == {e: scores[e.split("->")[0]] for e in EDGES}


def test_circuits_without_scores(tmp_path: Path) -> None:
    found = document(edges={"input->m0": {"in_graph": True}, "m0->logits": {"in_graph": True}})
    for entry in found["edges"].values():
        del entry["score"]
    file = read(found, tmp_path)
    assert file.level == "edge"
    assert by_name(file.graph, file.scores) == {
        e: float(e in ("input->m0", "m0->logits")) for e in EDGES
    }
    found = document(nodes={"m0": {"in_graph": True}})
    file = read(found, tmp_path)
    assert file.level == "node"
    assert set(file.circuit().edges()) == {"m0->logits"}
    with pytest.raises(ResultError, match="expected a finite score for m0, got 'high'"):
        read(document(nodes={"m0": {"score": "high"}}), tmp_path)


def test_a_folder_of_circuits_is_a_ranking(tmp_path: Path) -> None:
    nested = [("m0->logits",), ("m0->logits", "input->m0"), EDGES]
    for i, inside in enumerate(nested):
        found = document(edges={edge: {"in_graph": True} for edge in inside})
        (tmp_path / f"{i}.json").write_text(json.dumps(found))
    file = kc.read_mib_folder(tmp_path)
    scores = by_name(file.graph, file.scores)
    assert scores["m0->logits"] == 1
    assert scores["input->m0"] == pytest.approx(2 / 3)
    assert all(scores[e] == pytest.approx(1 / 3) for e in EDGES if e not in nested[1])
    one = tmp_path / "one"
    one.mkdir()
    kc.write_graph_file(file, one / "importances.json")
    assert np.array_equal(kc.read_mib_folder(one).scores, file.scores)
    other = {**document(), "cfg": {**CFG, "n_heads": 2}}
    (tmp_path / "9.json").write_text(json.dumps(other))
    with pytest.raises(GraphError):
        kc.read_mib_folder(tmp_path)
    with pytest.raises(ResultError, match=r"expected files .json or .pt in .*, got none"):
        kc.read_mib_folder(tmp_path / "none")


def test_merged_files_have_one_input(tmp_path: Path) -> None:
    graph = Graph(1, 1)
    values = np.arange(1.0, graph.n_edges + 1)
    values[graph.index("pos->m0")] = -50
    scores = Scores(graph, values, "mine")
    kc.write_graph_file(scores, tmp_path / "scores.json", merged=True)
    file = kc.read_graph_file(tmp_path / "scores.json")
    assert set(file.document["edges"]) == set(EDGES)
    assert set(file.document["nodes"]) == {*SOURCES, "logits"}
    found, whole = by_name(file.graph, file.scores), by_name(graph, values)
    assert found["input->m0"] == -50
    assert found["input->logits"] == max(whole["embed->logits"], whole["pos->logits"])
    assert found["a0.h0->m0"] == whole["a0.h0->m0"]
    signed = by_name(graph.merge_inputs(), merge_scores(graph, values, "signed"))
    assert signed["input->m0"] == whole["embed->m0"]
    assert merge_scores(file.graph, file.scores) is not None


def test_a_merged_circuit_keeps_its_labels(tmp_path: Path) -> None:
    trained = kc.load_model("fraction_of_x")
    kc.write_graph_file(trained.circuit, tmp_path / "circuit.json", merged=True)
    found = kc.read_graph_file(tmp_path / "circuit.json").circuit()
    assert found == trained.circuit.merge_inputs()


def test_faithfulness_over_merged_inputs() -> None:
    """Each size is so many merged edges, and patching one patches both that it stands for."""
    trained = kc.load_model("fraction_of_x")
    task = kc.make_task(trained, n_pairs=5)
    scores = kc.discover("exact", task)
    found = faithfulness(task, scores, trained.circuit, merged=True, pruned=False)
    merged = task.graph.merge_inputs()
    assert found.n_edges == merged.n_edges == 110
    assert found.nominal == tuple(int(share * 110 + 1e-9) for share in found.shares)
    assert found.true_size == len(trained.circuit.edges())
    order = np.argsort(-np.abs(merge_scores(task.graph, scores.values)), kind="stable")
    inside = {merged.edges[i] for i in order[: found.nominal[4]]}
    outside = [
        edge.replace("embed->", "input->").replace("pos->", "input->") not in inside
        for edge in task.graph.edges
    ]
    mask = torch.tensor(outside, dtype=torch.float32)[None].expand(5, -1)
    everything = torch.arange(5)
    distance = task.measure(
        task.model.run(task.clean, task.alternative, mask).logits, everything
    ).mean()
    whole = task.measure(task.corrupted_run.logits, everything).mean()
    assert found.f[4] == pytest.approx(float((1 - distance / whole).detach()), abs=1e-4)
