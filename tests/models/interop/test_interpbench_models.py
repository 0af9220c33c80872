"""InterpBench's release: files in its format, made here, load as the models that they were."""

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from knowncircuits.architecture import TransformerConfig
from knowncircuits.cases import CASES, load_case
from knowncircuits.circuit import Label
from knowncircuits.correspondence import Correspondence
from knowncircuits.errors import ModelError
from knowncircuits.models.interop import load_interpbench
from knowncircuits.models.interop.hooked import lens_state_dict
from knowncircuits.models.interop.interpbench import FILES, tracr_order
from knowncircuits.names import Edge, Node
from knowncircuits.transformer import Transformer
from strategies import random_model, random_tokens

# Case 3, `fraction_of_x`: four letters, four tokens and BOS; the ids of tracr's encoder.
THEIR_IDS = {"BOS": 0, "PAD": 1, "a": 2, "b": 3, "c": 4, "x": 5}
EDGES = [
    ("hook_embed", "blocks.0.hook_mlp_in"),
    ("blocks.0.hook_mlp_in", "blocks.0.hook_mlp_out"),
    ("hook_pos_embed", "blocks.1.hook_q_input[2]"),
    ("hook_pos_embed", "blocks.1.hook_k_input[2]"),
    ("blocks.0.hook_mlp_out", "blocks.1.hook_v_input[2]"),
    ("blocks.1.hook_q_input[2]", "blocks.1.attn.hook_q[2]"),
    ("blocks.1.hook_k_input[2]", "blocks.1.attn.hook_k[2]"),
    ("blocks.1.hook_v_input[2]", "blocks.1.attn.hook_v[2]"),
    ("blocks.1.attn.hook_q[2]", "blocks.1.attn.hook_result[2]"),
    ("blocks.1.attn.hook_k[2]", "blocks.1.attn.hook_result[2]"),
    ("blocks.1.attn.hook_v[2]", "blocks.1.attn.hook_result[2]"),
    ("blocks.1.attn.hook_result[2]", "blocks.1.hook_resid_post"),
]
INSIDE = ("embed->m0", "m0->a1.h2<v>", "a1.h2->logits")


def lens_fields(config: TransformerConfig, **changes: Any) -> dict[str, Any]:
    """A configuration as TransformerLens 2 has it, with the numpy numbers that it computes."""
    c = config
    sizes = ("n_layers", "n_heads", "d_model", "d_head", "d_mlp", "n_ctx", "d_vocab", "d_vocab_out")
    return {
        **{name: getattr(c, name) for name in sizes},
        "model_name": "custom",
        "act_fn": c.activation,
        "eps": c.norm_eps,
        "use_attn_result": True,
        "use_attn_scale": True,
        "attn_scale": np.sqrt(c.d_head),
        "use_split_qkv_input": True,
        "use_local_attn": False,
        "original_architecture": None,
        "init_mode": "gpt2",
        "normalization_type": "LNPre" if c.norm != "none" else None,
        "device": torch.device("cpu"),
        "attention_dir": "causal" if c.causal else "bidirectional",
        "attn_only": False,
        "seed": 0,
        "initializer_range": 0.8 / np.sqrt(c.d_model),
        "scale_attn_by_inverse_layer_idx": False,
        "positional_embedding_type": "standard",
        "final_rms": False,
        "parallel_attn_mlp": False,
        "gated_mlp": False,
        "dtype": torch.float32,
        "n_key_value_heads": None,
        "num_experts": None,
        **changes,
    }


def lens_state(model: Transformer) -> dict[str, Tensor]:
    """A state dict as TransformerLens 2 saves it, with buffers and no weights of norms."""
    state = {name: w for name, w in lens_state_dict(model).items() if "ln" not in name}
    n_ctx = model.config.n_ctx
    for layer in range(model.config.n_layers):
        state[f"blocks.{layer}.attn.mask"] = torch.ones(n_ctx, n_ctx, dtype=torch.bool).tril()
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    return state


class Release:
    """A folder in the release's format, with one model, and that model as it was."""

    def __init__(self, root: Path, case_id: str, config: TransformerConfig, edges: Any) -> None:
        self.root = root
        self.folder = root / case_id
        self.folder.mkdir()
        self.model = random_model(config, dtype=torch.float32)
        if config.norm == "layer":
            nn.init.ones_(self.model.ln_w)
            nn.init.zeros_(self.model.ln_b)
        self.fields = lens_fields(config)
        torch.save(lens_state(self.model), self.folder / "ll_model.pth")
        self.dump("ll_model_cfg.pkl", self.fields)
        self.dump("edges.pkl", edges)
        (self.folder / "meta.json").write_text('{"lr": 0.01, "strict_weight": 0.4}')

    def dump(self, name: str, data: object) -> None:
        (self.folder / name).write_bytes(pickle.dumps(data))


@pytest.fixture
def release(tmp_path: Path) -> Release:
    config = TransformerConfig(2, 4, 12, 3, 48, n_ctx=5, d_vocab=6, d_vocab_out=1)
    return Release(tmp_path, "3", config, EDGES)


@pytest.mark.parametrize("case", [3, "3", "fraction_of_x", load_case("fraction_of_x")])
def test_a_released_model(release: Release, case: Any) -> None:
    loaded = load_interpbench(case, release.root)
    assert loaded.case is load_case("fraction_of_x")
    assert loaded.meta == {"lr": 0.01, "strict_weight": 0.4}
    assert loaded.model.config == replace(release.model.config, d_vocab=5)  # PAD is left out
    inputs = load_case("fraction_of_x").sample(20, seed=0)
    ours = torch.from_numpy(loaded.case.vocabulary().encode(inputs))
    theirs = torch.tensor([[THEIR_IDS[token] for token in ["BOS", *xs]] for xs in inputs])
    assert torch.equal(loaded.model(ours), release.model(theirs))


def test_the_recorded_circuit(release: Release) -> None:
    circuit = load_interpbench(3, release.root).circuit
    assert circuit.edges(Label.IN) == INSIDE
    undetermined = circuit.edges(Label.UNDETERMINED)
    assert set(undetermined) == {e for e in circuit.graph.edges if e.startswith("pos->")}
    assert circuit.carries == {
        "embed->m0": ("tokens",),
        "pos->a1.h2<q>": ("indices",),
        "pos->a1.h2<k>": ("indices",),
    }
    merged = circuit.merge_inputs()
    assert merged.edges(Label.UNDETERMINED) == ("input->a1.h2<q>", "input->a1.h2<k>")


def test_it_can_be_compared_with_its_compiled_case(release: Release) -> None:
    loaded = load_interpbench(3, release.root)
    compiled = load_case("fraction_of_x").compile()
    for name in ("d_vocab", "d_vocab_out", "n_ctx"):
        assert getattr(compiled.model.config, name) == getattr(loaded.model.config, name)
    nodes = {"embed": "embed", "pos": "pos", "m0": "m0", "a1.h0": "a1.h2", "logits": "logits"}
    correspondence = Correspondence(compiled.circuit, loaded.model.graph, nodes)
    assert correspondence.circuit.edges() == loaded.circuit.edges()


def test_a_configuration_pickled_as_an_object(
    release: Release, stand_in: Callable[[str, str], type]
) -> None:
    name = "HookedTransformerConfig"
    made = stand_in(f"transformer_lens.{name}", name)()
    vars(made).update(release.fields)
    release.dump("ll_model_cfg.pkl", made)
    config = load_interpbench(3, release.root).model.config
    assert config == replace(release.model.config, d_vocab=5)


def test_edges_pickled_as_objects(release: Release, stand_in: Callable[[str, str], type]) -> None:
    Node = stand_in("circuits_benchmark.utils.circuit.circuit_node", "CircuitNode")

    def node(hook: str) -> object:
        made = Node()
        made.name, bracket, index = hook.rstrip("]").partition("[")
        made.index = int(index) if bracket else None
        return made

    release.dump("edges.pkl", [(node(a), node(b)) for a, b in EDGES])
    assert load_interpbench(3, release.root).circuit.edges() == INSIDE


def test_a_model_whose_case_is_not_ours(tmp_path: Path) -> None:
    """LNPre, GPT-2's activation, and edges from the first residual and between nodes."""
    edges = {
        ("blocks.0.hook_resid_pre", "blocks.0.mlp.hook_post"),
        ("blocks.0.mlp.hook_post", "blocks.1.attn.hook_z[1]"),
        ("blocks.1.attn.hook_result[1]", "blocks.1.hook_resid_post"),
    }
    config = TransformerConfig(
        2, 4, 8, 2, 12, 7, 50, 50, activation="gelu_new", norm="layer", norm_eps=1e-3
    )
    release = Release(tmp_path, "another", config, edges)
    loaded = load_interpbench("another", tmp_path)
    assert loaded.case is None
    assert not loaded.circuit.roles
    tokens = random_tokens(release.model, 4, 7)
    assert torch.equal(loaded.model(tokens), release.model(tokens))
    heads = [f"m0->a1.h1<{letter}>" for letter in "qkv"]
    assert loaded.circuit.edges() == ("embed->m0", *heads, "a1.h1->logits")
    assert loaded.circuit.carries["pos->m0"] == ("indices",)


# As recorded of `ioi`, whose first MLP stands for all that comes before the three heads.
DUPLICATE, INHIBITION, MOVER = (f"blocks.{layer}.attn.hook_result[1]" for layer in (1, 2, 4))
IOI_EDGES = [
    ("blocks.0.hook_resid_pre", "blocks.0.hook_mlp_out"),
    *(("blocks.0.hook_mlp_out", head) for head in (DUPLICATE, INHIBITION, MOVER)),
    *((DUPLICATE, INHIBITION), (INHIBITION, MOVER), (MOVER, "blocks.5.hook_resid_post")),
]


def ioi_release(folder: Path, case_id: str, **changes: int) -> Release:
    """Six layers of four heads, but narrow: of GPT-2's vocabulary."""
    sizes = {"d_model": 8, "d_head": 2, "d_mlp": 8, "n_ctx": 20, "d_vocab": 50257} | changes
    sizes = {"d_vocab_out": sizes["d_vocab"], **sizes}
    config = TransformerConfig(
        6, 4, **sizes, causal=True, activation="gelu_new", norm="layer", norm_eps=1e-5
    )
    return Release(folder, case_id, config, IOI_EDGES)


@pytest.mark.parametrize("name", ["ioi", "ioi_next_token", load_case("ioi")])
def test_indirect_object_identification_in_our_words(tmp_path: Path, name: Any) -> None:
    """By ids of GPT-2's that notebooks print for these words, written down anew."""
    case = load_case("ioi")
    release = ioi_release(tmp_path, name if isinstance(name, str) else "ioi")
    loaded = load_interpbench(name, tmp_path)
    assert loaded.case is case
    ids = [50256, 6423, 11, 5335, 290, 1757, 1816, 284, 262, 3650, 13, 1757, 2921, 257, 4144, 284]
    text = "Then , Mary and John went to the store . John gave a drink to"
    theirs = release.model(torch.tensor([ids]))[..., [3700, 1757, 5335]]
    said = [case.compile().output.values.index(name) for name in ("James", "John", "Mary")]
    ours = loaded.model(torch.from_numpy(case.vocabulary().encode([text.split()])))
    assert torch.allclose(ours[..., said], theirs, atol=1e-5)
    assert (loaded.model.config.d_vocab, loaded.model.config.d_vocab_out) == (32, 8)
    assert loaded.circuit.roles == {
        "a1.h1": "duplicate token",
        "a2.h1": "S-inhibition",
        "a4.h1": "name mover",
    }
    assert "a2.h1->a4.h1<q>" in loaded.circuit.edges()


def test_indirect_object_identification_of_another_vocabulary(tmp_path: Path) -> None:
    ioi_release(tmp_path, "ioi", d_vocab=60)
    with pytest.raises(ModelError, match="GPT-2's 50257 tokens and at least 16 .*got 60, 60 ans"):
        load_interpbench("ioi", tmp_path)
    ioi_release(tmp_path, "ioi_next_token", n_ctx=15)
    with pytest.raises(ModelError, match="got 50257, 50257 answers and 15 positions"):
        load_interpbench("ioi_next_token", tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The hub's cache where there is no net; nothing is in it yet."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    return cache


def test_a_release_on_the_hub(release: Release, hub: Path) -> None:
    """A snapshot as the hub's own library leaves it: links to blobs, and the branch's commit."""
    commit, folder = (
        "0123456789abcdef" * 2 + "01234567",
        hub / "models--cybershiptrooper--InterpBench",
    )
    snapshot, blobs, refs = folder / "snapshots" / commit / "3", folder / "blobs", folder / "refs"
    for place in (snapshot, blobs, refs):
        place.mkdir(parents=True)
    (refs / "main").write_text(commit)
    for name in FILES:
        (release.folder / name).rename(blobs / name)
        (snapshot / name).symlink_to(blobs / name)
    loaded = load_interpbench(3, "cybershiptrooper/InterpBench")
    assert loaded.circuit.edges() == INSIDE
    assert torch.equal(loaded.model.W_U, release.model.W_U)
    with pytest.raises(ModelError, match=rf"in .*{commit}.4, got no ll_model.pth, "):
        load_interpbench(4, "cybershiptrooper/InterpBench")


@pytest.mark.usefixtures("hub")
@pytest.mark.parametrize("name", ["cybershiptrooper/InterpBench", "no..name/at-all"])
def test_a_release_that_is_out_of_reach(name: str) -> None:
    with pytest.raises(ModelError, match=f"expected {name} on the Hugging Face hub, got "):
        load_interpbench(3, name)


def test_missing_files(release: Release) -> None:
    (release.folder / "edges.pkl").unlink()
    (release.folder / "meta.json").unlink()
    with pytest.raises(ModelError, match=r"expected .* in .*3, got no edges.pkl, meta.json"):
        load_interpbench(3, release.root)
    with pytest.raises(ModelError, match=r"in .*fraction_of_y, got no ll_model.pth, "):
        load_interpbench("fraction_of_y", release.root)
    with pytest.raises(ModelError, match=r"in .*absent.3, got no ll_model.pth, "):
        load_interpbench(3, release.root / "absent")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"parallel_attn_mlp": True}, "expected parallel_attn_mlp False, got True"),
        ({"normalization_type": "RMS"}, "expected normalization_type None or .*, got 'RMS'"),
        ({"n_layers": 3}, r"12 missing \(blocks.2.attn.W_K"),
        ({"d_head": 4, "attn_scale": 2.0}, r"attn.W_K of shape \[4, 12, 3\] for \[4, 12, 4\]"),
    ],
)
def test_configurations_that_do_not_fit(
    release: Release, changes: dict[str, Any], message: str
) -> None:
    release.dump("ll_model_cfg.pkl", release.fields | changes)
    with pytest.raises(ModelError, match=message):
        load_interpbench(3, release.root)


def test_a_model_of_another_case(tmp_path: Path) -> None:
    Release(tmp_path, "3", TransformerConfig(2, 4, 12, 3, 48, 5, 7, 1), EDGES)
    expected = "expected d_vocab 6 and n_ctx 5 for fraction_of_x, got 7 and 5"
    with pytest.raises(ModelError, match=expected):
        load_interpbench(3, tmp_path)
    foreign = next((case for case in CASES.values() if case.interpbench_id is None), None)
    if foreign:
        with pytest.raises(ModelError, match=f"a case of InterpBench's, got {foreign.name}"):
            load_interpbench(foreign, tmp_path)


@pytest.mark.parametrize(
    ("edges", "message"),
    [
        ("a string", "expected a list of edges in .*, got str"),
        ([("hook_embed",)], "expected pairs of hooks in .*, got tuple"),
        ([("hook_embed", 3)], "expected a hook's name in an edge, got int"),
        ([("hook_embed", "blocks.0.ln1.hook_scale")], "of a node .*got 'blocks.0.ln1.hook_scale'"),
        ([("hook_embed", "blocks.0.hook_q_input")], "of a node .*got 'blocks.0.hook_q_input'"),
        ([("hook_embed", "blocks.0.hook_mlp_in[1]")], "of a node"),
        ([("hook_embed", "blocks.2.hook_mlp_in")], "edges of .*got hook_embed -> blocks.2"),
        ([("hook_embed", "blocks.0.hook_q_input[4]")], "edges of .*got hook_embed -> blocks.0"),
        ([("blocks.0.hook_mlp_in", "hook_embed")], "edges of .*got blocks.0.hook_mlp_in -> hook"),
        ([("blocks.0.attn.hook_q[0]", "blocks.0.hook_mlp_in")], "edges of .*got blocks.0.attn"),
    ],
)
def test_edges_that_are_none(release: Release, edges: Any, message: str) -> None:
    release.dump("edges.pkl", edges)
    with pytest.raises(ModelError, match=message):
        load_interpbench(3, release.root)


class Hostile:
    """Unpickles to a call that makes a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("name", FILES[:3])
@pytest.mark.parametrize("save", [torch.save, lambda data, path: path.write_bytes(data)])
def test_hostile_files(release: Release, tmp_path: Path, name: str, save: Any) -> None:
    marker = tmp_path / "marker"
    hostile = {"embed.W_E": Hostile(marker)}
    save(hostile if save is torch.save else pickle.dumps(hostile), release.folder / name)
    with pytest.raises(ModelError, match=rf"expected .* in .*{name}"):
        load_interpbench(3, release.root)
    assert not marker.exists()


@pytest.mark.parametrize("weights", [nn.Linear(2, 2), torch.zeros(3), {"embed.W_E": [1.0]}, {3: 4}])
def test_weights_that_are_no_state_dict(release: Release, weights: object) -> None:
    torch.save(weights, release.folder / "ll_model.pth")
    with pytest.raises(
        ModelError, match=r"expected a state dict of tensors in .*ll_model.pth, got"
    ):
        load_interpbench(3, release.root)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ll_model.pth", b"", "expected a state dict of tensors"),
        ("ll_model_cfg.pkl", b"", "expected a pickle of plain data"),
        ("ll_model_cfg.pkl", pickle.dumps([1]), "expected a configuration in .*, got list"),
        ("edges.pkl", b"\x80", "expected a pickle of plain data"),
        ("meta.json", b"{", "expected JSON"),
        ("meta.json", b"\xff", "expected JSON"),
        ("meta.json", json.dumps([1]).encode(), "expected an object in .*, got list"),
    ],
)
def test_broken_files(release: Release, name: str, content: bytes, message: str) -> None:
    (release.folder / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        load_interpbench(3, release.root)


@pytest.mark.parametrize(
    ("tokens", "ids"),
    [
        ("()abc", ["(", ")", "BOS", "PAD", "a", "b", "c"]),
        ([10, 9, 2], [2, 9, 10, "BOS", "PAD"]),
        ([-1, 0.5, 0], [-1, 0, 0.5, "BOS", "PAD"]),
        (["J", "LB", "b"], ["BOS", "J", "LB", "PAD", "b"]),
    ],
)
def test_order_of_ids(tokens: Any, ids: Any) -> None:
    assert tracr_order(["PAD", *tokens, "BOS"]) == ids


@pytest.mark.tracr
def test_order_of_ids_is_tracrs() -> None:
    from tracr.craft.bases import VectorSpaceWithBasis

    for case in CASES.values():
        tokens = ["BOS", "PAD", *case.vocab]
        space = VectorSpaceWithBasis.from_values("tokens", tokens)
        assert tracr_order(tokens) == [direction.value for direction in space.basis], case.name


def test_every_node_has_edges_in_the_release(release: Release) -> None:
    """Each of our edges at Q/K/V granularity has a name in the release's."""
    graph = release.model.graph

    def hook(node: Node, of_head: str, of_mlp: str) -> str:
        if node.kind == "head":
            return f"blocks.{node.layer}.{of_head}[{node.head}]"
        if node.kind == "mlp":
            return f"blocks.{node.layer}.{of_mlp}"
        names = {"embed": "hook_embed", "pos": "hook_pos_embed"}
        return names.get(node, "blocks.1.hook_resid_post")

    def hooks(edge: Edge) -> tuple[str, str]:
        read = hook(edge.target, f"hook_{edge.destination.letter}_input", "hook_mlp_in")
        return hook(edge.source, "attn.hook_result", "hook_mlp_out"), read

    release.dump("edges.pkl", [hooks(Edge(edge)) for edge in graph.edges])
    circuit = load_interpbench(3, release.root).circuit
    determined = [edge for edge in graph.edges if not edge.startswith("pos->")]
    assert list(circuit.edges()) == determined
