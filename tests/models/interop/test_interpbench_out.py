"""A model of ours in InterpBench's format: what it records, and back again."""

import json
import pickle
from pathlib import Path

import pytest
import torch

import knowncircuits as kc
from knowncircuits.circuit import Label
from knowncircuits.errors import ModelError
from knowncircuits.models.interop import export_interpbench, load_interpbench

HEAD = "blocks.1.attn.hook_result[0]"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    assert export_interpbench(kc.load_model("fraction_of_x"), folder) == folder / "3"
    return folder


def test_what_is_recorded(release: Path) -> None:
    edges = pickle.loads((release / "3" / "edges.pkl").read_bytes())
    ways = [
        ("hook_embed", "blocks.0.hook_mlp_in"),
        ("blocks.0.hook_mlp_in", "blocks.0.hook_mlp_out"),
        ("blocks.0.hook_mlp_out", "blocks.1.hook_v_input[0]"),
        ("blocks.1.hook_v_input[0]", "blocks.1.attn.hook_v[0]"),
        ("blocks.1.attn.hook_v[0]", HEAD),
        (HEAD, "blocks.1.hook_resid_post"),
    ]
    for letter in "qk":
        entered = f"blocks.1.hook_{letter}_input[0]"
        inner = f"blocks.1.attn.hook_{letter}[0]"
        ways += [("hook_pos_embed", entered), (entered, inner), (inner, HEAD)]
    assert sorted(edges) == sorted(ways)
    state = torch.load(release / "3" / "ll_model.pth", weights_only=True)
    trained = kc.load_model("fraction_of_x")
    # tracr's order: BOS and PAD in capitals before a, b, c, x.
    rows = torch.stack([trained.model.W_E[i] for i in (0, 1, 2, 3, 4)])
    assert torch.equal(state["embed.W_E"][[0, 2, 3, 4, 5]], rows)
    assert not state["embed.W_E"][1].any()
    assert state["blocks.1.attn.mask"].dtype == torch.bool
    fields = pickle.loads((release / "3" / "ll_model_cfg.pkl").read_bytes())
    assert (fields["d_vocab"], fields["n_layers"], fields["attn_only"]) == (6, 2, False)
    assert json.loads((release / "3" / "meta.json").read_text())["case"] == "fraction_of_x"


def test_and_back(release: Path) -> None:
    trained, loaded = kc.load_model("fraction_of_x"), load_interpbench("fraction_of_x", release)
    tokens = trained.compiled.draw(20, seed=0)
    assert torch.equal(loaded.model(tokens), trained.model(tokens))
    assert loaded.circuit.edges() == trained.circuit.edges()
    found, expected = (
        {edge for edge, names in circuit.carries.items() if edge.startswith("pos->") and names}
        for circuit in (loaded.circuit, trained.circuit)
    )
    assert found == expected
    assert all(e.startswith("pos->") for e in loaded.circuit.edges(Label.UNDETERMINED))


def test_a_task_on_it(release: Path) -> None:
    loaded = load_interpbench("fraction_of_x", release)
    task, ours = (
        kc.make_task(subject, n_pairs=10, seed=0)
        for subject in (loaded, kc.load_model("fraction_of_x"))
    )
    assert torch.equal(task.clean, ours.clean)
    assert torch.equal(task.counts, ours.counts)
    scores = kc.discover("eap", task)
    assert (
        kc.score(scores, loaded.circuit).auroc
        == kc.score(kc.discover("eap", ours), loaded.circuit).auroc
    )


def test_names_with_a_number(release: Path, tmp_path: Path) -> None:
    """As InterpBench's training writes them: the number is of the weights of its losses."""
    folder = tmp_path / "3"
    folder.mkdir()
    for path in (release / "3").iterdir():
        name = path.name if path.stem == "edges" else f"{path.stem}_510{path.suffix}"
        (folder / name).write_bytes(path.read_bytes())
    tokens = torch.tensor([[0, 1, 4]])
    first, second = (load_interpbench(3, root).model(tokens) for root in (release, tmp_path))
    assert torch.equal(first, second)
    (folder / "ll_model_100.pth").write_bytes(b"")
    with pytest.raises(
        ModelError, match="one ll_model.pth in .*, got ll_model_100.pth, ll_model_5"
    ):
        load_interpbench(3, tmp_path)


def test_a_case_of_another_suite(tmp_path: Path) -> None:
    wired = kc.Wired.of(kc.load_case(kc.list_cases("hard")[0]).compile())
    with pytest.raises(ModelError, match="expected a case of InterpBench's"):
        export_interpbench(wired, tmp_path)
