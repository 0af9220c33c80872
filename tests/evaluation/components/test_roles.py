"""Numbers of nodes against roles and circuits, by hand and by scikit-learn."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import knowncircuits as kc
from knowncircuits.circuit import Label, circuit_from_edges
from knowncircuits.errors import ResultError, UnknownNameError
from knowncircuits.evaluation.components import score_components
from knowncircuits.evaluation.components.roles import labels_in
from knowncircuits.graph import Graph
from strategies import random_task


def frame_of(**numbers: float) -> pd.DataFrame:
    rows = [
        {"node": name.replace("_", "."), "kind": "head" if "_" in name else "mlp", "lost": value}
        for name, value in numbers.items()
    ]
    return pd.DataFrame(rows)


def test_roles_by_hand() -> None:
    frame = frame_of(a0_h0=-0.9, a0_h1=0.1, a1_h0=0.5, a1_h1=0.2, m0=1.0)
    scored = kc.score_nodes(frame, {"mover": ["a0.h0"], "others": ["a1.h0", "a1.h1"], "m": ["m0"]})
    assert scored["auroc"].tolist() == [1, 0.5, 1]
    assert scored["n"].tolist() == [4, 4, 5]  # MLPs are ranked with an MLP alone
    signed = kc.score_nodes(frame, ["a0.h0"], rank_by="signed")
    assert signed.to_dict("records") == [
        {"auroc": 0.0, "average_precision": 0.25, "n": 4, "n_true": 1}
    ]


@pytest.mark.usefixtures("no_shape_checks")
def test_what_numbers_cannot_be_ranked() -> None:
    frame = frame_of(a0_h0=-0.9, a0_h1=0.1)
    with pytest.raises(UnknownNameError, match="unknown way to rank 'size'"):
        kc.score_nodes(frame, ["a0.h0"], rank_by="size")  # type: ignore[arg-type]
    with pytest.raises(ResultError, match="expected a column of numbers, got kind: head"):
        kc.score_nodes(frame, ["a0.h0"], column="kind")


def test_views_and_positions() -> None:
    """The highest position counts, of each view alone."""
    task = random_task()
    frame = kc.act_patch(task, ["z", "v"], per_position=True)
    wanted = ["a0.h1", "a1.h0"]
    scored = kc.score_nodes(frame, wanted).set_index("view")
    for view, part in frame.groupby("view"):
        highest = part["lost"].abs().groupby(part["node"]).max()
        truth = highest.index.isin(wanted)
        assert scored.loc[view, "auroc"] == roc_auc_score(truth, highest)
        assert scored.loc[view, "average_precision"] == average_precision_score(truth, highest)


def test_both_ways_and_without_a_gap() -> None:
    """Corrupted runs recover where clean ones lose; equal runs differ by what is not a share."""
    one = random_task()
    for frame, column in (
        (kc.act_patch(one, ["z"]), "lost"),
        (kc.act_patch(one, ["z"], direction="denoise"), "recovered"),
        (kc.path_patch(one, direction="denoise"), "recovered"),
    ):
        start = frame.attrs["clean" if column == "lost" else "corrupted"]
        assert np.allclose(frame["difference"], frame["value"] - start)
        moved = (frame["value"] - start).abs()
        truth = frame["node"].isin(["a0.h1", "a1.h0"])
        scored = kc.score_nodes(frame, ["a0.h1", "a1.h0"])
        assert scored["auroc"][0] == roc_auc_score(truth, moved)
        frame = frame.assign(lost=np.nan, recovered=np.nan)  # as where both runs have one value
        scored = kc.score_nodes(frame, ["a0.h1", "a1.h0"])
        assert scored["auroc"][0] == roc_auc_score(truth, moved)


def test_a_circuit_is_seen_view_by_view() -> None:
    graph = Graph(2, 2)
    circuit = circuit_from_edges(
        graph,
        ["a0.h0->a1.h1<q>", "a1.h1->logits"],
        ["pos->a0.h0<k>", "embed->a0.h0<k>", "m0->logits"],
    )
    frame = pd.DataFrame(
        [
            {"view": view, "node": node, "kind": "head", "lost": value}
            for view in ("z", "q", "k", "pattern")
            for node, value in zip(
                ("a0.h0", "a0.h1", "a1.h0", "a1.h1"), (0.9, 0.1, 0.2, 0.8), strict=True
            )
        ]
    )
    scored = score_components(frame, circuit).set_index("view")
    assert scored["n"].tolist() == [4, 4, 3, 4]  # keys of a0.h0 are undetermined
    assert scored["n_true"].tolist() == [2, 1, 0, 1]
    assert scored["auroc"].tolist()[:2] == [1, 2 / 3]
    assert np.isnan(scored.loc["k", "auroc"])
    assert scored.loc["pattern", "auroc"] == 2 / 3
    mlp = frame_of(m0=1.0, m1=0.0, a0_h0=2.0)
    assert score_components(mlp, circuit)["n"].tolist() == [2]
    assert circuit.label("m0->logits") == Label.UNDETERMINED


def test_paths_are_told_by_the_edges_that_they_lead_over() -> None:
    """Through MLPs, unless these were frozen; several senders are in where one of them is."""
    edges = ["a0.h0->m0", "m0->logits", "a1.h1->logits", "a0.h1->a1.h1<q>"]
    circuit = circuit_from_edges(Graph(2, 2), edges, ["a1.h0->m1", "m1->logits"])
    frame = pd.DataFrame({"node": ["a0.h0", "a0.h1", "a1.h0", "a1.h1", "a0.h0+a0.h1"]})
    wanted = {False: (1, 0, -1, 1, 1), True: (0, 0, 0, 1, 0)}
    for frozen, labels in wanted.items():
        frame.attrs |= {"receivers": ["logits"], "freeze_mlps": frozen}
        found = labels_in(circuit, frame, "", frame["node"])
        assert tuple(found.values()) == tuple(map(Label, labels))
    frame.attrs["receivers"] = ["a1.h1"]
    found = labels_in(circuit, frame, "", ["a0.h0", "a0.h1"])
    assert found == {"a0.h0": Label.OUT, "a0.h1": Label.IN}


def test_what_a_trained_model_needs_is_found() -> None:
    """Patching of heads' outputs and of what they read agrees with the certified circuit."""
    trained = kc.load_model("count_greater")
    frame = kc.act_patch(kc.make_task(trained, 50))
    scored = score_components(frame, trained.circuit).set_index("view")
    assert scored.loc["z", "auroc"] == 1
    assert (scored["auroc"].dropna() == 1).all()


def test_wrong_frames() -> None:
    frame = frame_of(a0_h0=1.0, a0_h1=0.0)
    with pytest.raises(UnknownNameError, match=r"unknown node 'a5\.h0'"):
        kc.score_nodes(frame, ["a5.h0"])
    with pytest.raises(ResultError, match="expected a frame of nodes with value, got node"):
        kc.score_nodes(frame, ["a0.h0"], column="value")
    with pytest.raises(ResultError, match="one of lost, recovered"):
        kc.score_nodes(frame.rename(columns={"lost": "x"}), ["a0.h0"])
    with pytest.raises(ResultError, match="NaN among lost"):
        kc.score_nodes(frame_of(a0_h0=1.0, a0_h1=np.nan), ["a0.h0"])
