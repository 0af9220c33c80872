"""In from InterpBench: its released models and the circuits recorded with them.

The release has a folder for each case, named by InterpBench's number: `ll_model.pth`, a state dict
of TransformerLens 2; `ll_model_cfg.pkl`, its configuration; `edges.pkl`, the circuit; `meta.json`,
how it was trained. InterpBench's own training puts the weights of its losses behind these names:
`ll_model_510.pth`, `ll_model_cfg_510.pkl`, `meta_510.json`. Of the pickles only plain data is read;
see `models.interop.pickles`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cmp_to_key
from pathlib import Path
from typing import Any

import torch

from knowncircuits.cases.case import Case
from knowncircuits.cases.ioi import IOI
from knowncircuits.cases.registry import CASES, list_cases
from knowncircuits.checks.arguments import takes
from knowncircuits.circuit import Circuit, circuit_from_edges
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.errors import ModelError, ResultError
from knowncircuits.extras import missing
from knowncircuits.files.reading import read_json
from knowncircuits.graph import Graph
from knowncircuits.models.interop.interpbench_ioi import IOI_CASES, in_our_words, with_roles
from knowncircuits.models.interop.lens import from_lens_config, from_lens_state_dict
from knowncircuits.models.interop.pickles import Record, read_pickle
from knowncircuits.models.interop.state_dicts import read_state_dict
from knowncircuits.models.interop.tensors import check_sizes
from knowncircuits.names import EMBED, POS, QKV, Destination, Edge, Letter, Node
from knowncircuits.rasp.values import Value
from knowncircuits.transformer import Transformer

FILES = ("ll_model.pth", "ll_model_cfg.pkl", "edges.pkl", "meta.json")
TRACR_BOS, TRACR_PAD = "BOS", "PAD"  # what InterpBench calls them
CARRIED = {"embed": ("tokens",), "pos": ("indices",)}
HEAD_HOOKS: dict[str, Letter] = {
    **{letter: letter for letter in QKV},
    **{f"{letter}_input": letter for letter in QKV},
    "result": "",
    "z": "",
}
MLP_HOOKS = ("mlp_in", "mlp_out", "post")
# The last of tracr's last layer, where the trained model has more.
WHOLE = {"hook_embed": "embed", "hook_pos_embed": "pos", "resid_post": "logits"}
HOOK = re.compile(r"blocks\.(\d+)\.(?:attn\.|mlp\.)?hook_(\w+)(?:\[(\d+)\])?")


@dataclass(frozen=True, eq=False)
class InterpBenchModel:
    """A model that InterpBench released.

    Where its case is one of ours, its ids are those of `case.vocabulary()` and its outputs are in
    the order of `case.compile().output`, so the two can be compared. Of `ioi`, which reads GPT-2's
    tokens, those are kept that are ours.
    """

    model: Transformer
    circuit: Circuit  # as recorded, not as certified
    case: Case | None
    meta: Mapping[str, Any]

    @property
    def compiled(self) -> Compiled:
        """Our compiled model of the case, whose inputs and answers it has.

        Raises ModelError where the case is none of ours.
        """
        if self.case is None:
            raise ModelError("expected a model of one of our cases, got one of another")
        return self.case.compile().to(device=self.model.device)

    def to(
        self, *, dtype: torch.dtype | None = None, device: str | torch.device | None = None
    ) -> InterpBenchModel:
        """The same with a copy of the model in another dtype or on another device, if it is one."""
        dtype, device = dtype or self.model.dtype, torch.device(device or self.model.device)
        if (dtype, device) == (self.model.dtype, self.model.device):
            return self
        return replace(self, model=deepcopy(self.model).to(device=device, dtype=dtype))


@takes(case=Case | str | int, folder=str | Path, revision=str | None)
def load_interpbench(
    case: Case | str | int, folder: str | Path, *, revision: str | None = None
) -> InterpBenchModel:
    """Read one of InterpBench's released models, without running anything that its files contain.

    InterpBench trains whole heads: which of a head's q, k and v inputs an edge enters is what its
    tracr model does, and the trained model may do otherwise. A certificate tells. Edges out of
    `pos` are undetermined, in the circuit or not; those in it are in `circuit.carries`.

    Args:
        case: one of our cases, its name, or InterpBench's name for one, such as 3, `ioi` or
            `ioi_next_token`.
        folder: the release, with a folder for each case; or where it is on the Hugging Face hub,
            `cybershiptrooper/InterpBench`, if there is no such folder.
        revision: of the hub's repository, a commit's 40 digits, so that what is read can't change
            later. By default its newest.

    Raises:
        ModelError: for files that are missing, out of reach or broken, or that hold more than plain
            data, and for models that ours cannot express.
        MissingExtraError: for the hub without huggingface_hub, of the extra `hub`.
    """
    case_id, ours = _find_case(case)
    files = _find_files(folder, case_id, revision)
    config = from_lens_config(_read_config(files["ll_model_cfg.pkl"]))
    check_sizes(config)
    model = from_lens_state_dict(read_state_dict(files["ll_model.pth"]), config)
    circuit = _read_circuit(files["edges.pkl"], model.graph)
    if case_id in IOI_CASES:
        model, circuit = in_our_words(model), with_roles(circuit)
    elif ours is not None:
        model = _with_our_ids(model, ours)
    return InterpBenchModel(model, circuit, ours, _read_meta(files["meta.json"]))


def _find_case(case: Case | str | int) -> tuple[str, Case | None]:
    """InterpBench's name for a case, and ours if we have it."""
    if case in IOI_CASES or case is IOI:
        return str(case if isinstance(case, str) else case.name), IOI
    if isinstance(case, str) and case in CASES:
        case = CASES[case]
    if isinstance(case, Case):
        if case.interpbench_id is None:
            raise ModelError(f"expected a case of InterpBench's, got {case.name}")
        return str(case.interpbench_id), case
    name = str(case)
    found = list_cases(interpbench_id=int(name)) if name.isdecimal() else []
    return name, CASES[found[0]] if found else None


def _find_files(folder: str | Path, case_id: str, revision: str | None) -> dict[str, Path]:
    root = Path(folder)
    if revision is not None and not re.fullmatch("[0-9a-f]{40}", revision):
        raise ModelError(f"expected the 40 digits of a commit as revision, got {revision!r}")
    if not root.exists() and re.fullmatch(r"[\w.-]+/[\w.-]+", str(folder)):
        root = _download(str(folder), [f"{case_id}/{name}" for name in FILES], revision)
    files = {name: _numbered(root / case_id, name) for name in FILES}
    missing = [name for name, path in files.items() if path is None]
    if missing:
        got = ", ".join(missing)
        raise ModelError(f"expected {', '.join(FILES)} in {root / case_id}, got no {got}")
    return {name: path for name, path in files.items() if path is not None}


def _numbered(folder: Path, name: str) -> Path | None:
    """A file by its name, or by its name and a number; ModelError for several of these."""
    if (folder / name).is_file():
        return folder / name
    stem, ending = name.split(".")
    numbered = re.compile(rf"{stem}_\d+\.{ending}")
    found = sorted(p for p in folder.glob(f"{stem}_*") if numbered.fullmatch(p.name))
    if len(found) > 1:
        names = ", ".join(path.name for path in found)
        raise ModelError(f"expected one {name} in {folder}, got {names}; name one {name}")
    return found[0] if found else None


def _download(repository: str, files: list[str], revision: str | None) -> Path:
    """These files of a repository on the hub, or of its copy in the cache where there is no net."""
    try:
        from huggingface_hub import snapshot_download
    except ModuleNotFoundError as error:
        raise missing("huggingface_hub") from error
    try:
        return Path(snapshot_download(repository, allow_patterns=files, revision=revision))
    except (OSError, ValueError) as error:  # no such repository, no net and no copy
        got = str(error).strip().partition("\n")[0]
        raise ModelError(f"expected {repository} on the Hugging Face hub, got {got}") from error


def _read_config(path: Path) -> Mapping[str, Any]:
    """The fields; most are pickled as a dict, some as TransformerLens's object."""
    config = read_pickle(path)
    fields = config.state if isinstance(config, Record) else config
    if not isinstance(fields, dict) or not all(isinstance(name, str) for name in fields):
        raise ModelError(f"expected a configuration in {path}, got {type(fields).__name__}")
    return fields


def _read_meta(path: Path) -> dict[str, Any]:
    try:
        meta = read_json(path)
    except ResultError as error:
        raise ModelError(str(error)) from error
    if not isinstance(meta, dict):
        raise ModelError(f"expected an object in {path}, got {type(meta).__name__}")
    return meta


def _with_our_ids(model: Transformer, case: Case) -> Transformer:
    """The model with the ids of the case's vocabulary in place of tracr's.

    PAD is left out: InterpBench trains on inputs of one length, so its embedding means nothing.
    """
    vocabulary, c = case.vocabulary(), model.config
    if (c.d_vocab, c.n_ctx) != (vocabulary.size + 1, vocabulary.n_ctx):
        raise ModelError(
            f"expected d_vocab {vocabulary.size + 1} and n_ctx {vocabulary.n_ctx} for {case.name}, "
            f"got {c.d_vocab} and {c.n_ctx}"
        )
    theirs = tracr_order([*vocabulary.tokens, TRACR_BOS, TRACR_PAD])
    order = [theirs.index(token) for token in (TRACR_BOS, *vocabulary.tokens)]
    ours = Transformer(replace(c, d_vocab=len(order)), dtype=model.dtype, device=model.device)
    ours.load_state_dict({**model.state_dict(), "W_E": model.W_E[order]})
    return ours


def tracr_order(values: Iterable[Value]) -> list[Value]:
    """Values in the order of tracr's ids: by size, and as text where types have no common order."""

    def compare(a: Any, b: Any) -> int:
        try:
            return int(a > b) - int(a < b)
        except TypeError:
            return int(str(a) > str(b)) - int(str(a) < str(b))

    return sorted(values, key=cmp_to_key(compare))


def _read_circuit(path: Path, graph: Graph) -> Circuit:
    """The recorded edges; those within a node, such as from q to a head's result, say nothing."""
    recorded = read_pickle(path)
    if not isinstance(recorded, list | tuple | set | frozenset):
        raise ModelError(f"expected a list of edges in {path}, got {type(recorded).__name__}")
    edges: dict[Edge, None] = {}
    for pair in recorded:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ModelError(f"expected pairs of hooks in {path}, got {type(pair).__name__}")
        source, destination = (_place(_hook_name(hook)) for hook in pair)
        if source.node == destination.node:
            continue
        found = [] if source.letter else _edges(source.node, destination)
        if not found or not graph.edge_index.keys() >= set(found):
            hooks = " -> ".join(map(_hook_name, pair))
            raise ModelError(f"expected edges of {graph.summary()} in {path}, got {hooks}")
        edges |= dict.fromkeys(found)
    carries: dict[str, tuple[str, ...]] = {
        edge: CARRIED[edge.source] for edge in edges if edge.source in CARRIED
    }
    out_of_pos = [graph.edges[i] for i in graph.edges_from(POS)]
    inside = [edge for edge in edges if edge.source.kind != "pos"]
    return Circuit(graph, circuit_from_edges(graph, inside, out_of_pos).labels, carries)


def _edges(source: Node, destination: Destination) -> list[Edge]:
    """Our edges between two places: `input` is both embeddings, a head alone its three inputs."""
    sources = [EMBED, POS] if source.kind == "input" else [source]
    is_head = destination.node.kind == "head" and not destination.letter
    destinations = [Destination.of(destination.node, x) for x in QKV] if is_head else [destination]
    return [Edge.between(s, d) for s in sources for d in destinations]


def _hook_name(hook: Any) -> str:
    """`blocks.1.attn.hook_result[2]`, also of a `CircuitNode`, which has a name and an index."""
    if isinstance(hook, Record) and isinstance(hook.state, dict):
        name, index = hook.state.get("name"), hook.state.get("index")
        hook = name if index is None else f"{name}[{index}]"
    if not isinstance(hook, str):
        raise ModelError(f"expected a hook's name in an edge, got {type(hook).__name__}")
    return hook


def _place(hook: str) -> Destination:
    """A hook's node in our names; its input `a1.h2<q>` where the hook is of one of a head's."""
    match = HOOK.fullmatch(hook)
    layer, kind, head = match.groups() if match else (None, hook, None)
    if layer is not None and head is not None and kind in HEAD_HOOKS:
        return Destination.of(Node.of_head(int(layer), int(head)), HEAD_HOOKS[kind])
    if layer == "0" and kind == "resid_pre":
        return Destination("input")
    if layer is not None and head is None and kind in MLP_HOOKS:
        return Destination(Node.of_mlp(int(layer)))
    if head is not None or kind not in WHOLE:
        raise ModelError(f"expected a hook of a node in an edge, got {hook[:80]!r}")
    return Destination(WHOLE[kind])
