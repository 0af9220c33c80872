"""Edges and nodes patched on their own, against the primitive."""

import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from knowncircuits.architecture import TransformerConfig
from knowncircuits.errors import ShapeError
from knowncircuits.patching import MaskedPatches, SinglePatches, Values, single_patches
from knowncircuits.transformer import Transformer
from strategies import Experiment, experiments, random_model, random_tokens

MODEL = random_model(TransformerConfig(1, 2, 6, 3, 8, 4, 9, 3))


def every_row(n: int, n_pairs: int) -> tuple[Tensor, Tensor]:
    """All of n with all pairs, in an order of no meaning."""
    rows = torch.randperm(n * n_pairs, generator=torch.Generator().manual_seed(0))
    return rows % n, rows // n


def collect(
    patches: SinglePatches | MaskedPatches,
    kind: str,
    which: Tensor,
    pairs: Tensor,
    values: Values | None = None,
) -> Tensor:
    """The logits of all rows; each is to come once."""
    found = list(getattr(patches, kind)(which, pairs, values))
    rows, logits = (torch.cat(list(parts)) for parts in zip(*found, strict=True))
    assert rows.sort().values.tolist() == list(range(len(which)))
    return logits[rows.argsort()]


def masks(model: Transformer, kind: str) -> Tensor:
    """The mask of each edge, or of each node."""
    every = torch.eye(model.graph.n_edges, dtype=model.dtype)
    if kind == "edges":
        return every
    return torch.stack([every[model.graph.edges_from(node)].sum(0) for node in model.graph.sources])


@pytest.mark.parametrize("kind", ["edges", "nodes"])
@given(experiments())
@settings(max_examples=60)
def test_rows_are_what_the_primitive_gives(kind: str, experiment: Experiment) -> None:
    model, tokens, alternative, _ = experiment.build()
    every = masks(model, kind)
    which, pairs = every_row(len(every), len(tokens))
    with torch.no_grad():
        clean = model.run(tokens)
        others = alternative.expand(len(tokens), -1, -1, -1)[pairs]
        wanted = model.run(tokens[pairs], others, every[which]).logits
        for patches in (
            SinglePatches(model, clean, alternative, n_rows=7),
            MaskedPatches(model, tokens, clean, alternative, n_rows=7),
        ):
            got = collect(patches, kind, which, pairs)
            torch.testing.assert_close(got, wanted, atol=1e-9, rtol=1e-9)


@given(experiments())
@settings(max_examples=30)
def test_changes_of_what_targets_write(experiment: Experiment) -> None:
    """By whole runs; and of `logits`, which writes nothing, of the stream that it reads."""
    model, tokens, alternative, _ = experiment.build()
    edges, pairs = every_row(model.graph.n_edges, len(tokens))
    with torch.no_grad():
        clean = model.run(tokens)
        found = []
        for patches in (
            SinglePatches(model, clean, alternative, n_rows=7),
            MaskedPatches(model, tokens, clean, alternative, n_rows=7),
        ):
            parts = list(patches.changes(edges, pairs))
            rows, changes = (torch.cat(list(part)) for part in zip(*parts, strict=True))
            assert rows.sort().values.tolist() == list(range(len(edges)))
            found.append(changes[rows.argsort()])
    torch.testing.assert_close(*found, atol=1e-9, rtol=1e-9)
    into_logits = model.graph.target_of_edge[edges] == len(model.graph.sources)
    sources = torch.from_numpy(model.graph.source_of_edge)[edges]
    others = alternative.expand(len(tokens), -1, -1, -1)
    wanted = (others - clean.outputs)[pairs, sources]
    torch.testing.assert_close(found[0][into_logits], wanted[into_logits], atol=1e-9, rtol=1e-9)


@pytest.mark.parametrize("kind", ["edges", "nodes"])
@given(experiments())
@settings(max_examples=30)
def test_every_row_may_have_a_value_of_its_own(kind: str, experiment: Experiment) -> None:
    model, tokens, _, _ = experiment.build()
    every = masks(model, kind)
    which, pairs = every_row(len(every), len(tokens))
    new = torch.randn(len(which), tokens.shape[1], model.config.d_model, dtype=model.dtype)
    with torch.no_grad():
        clean = model.run(tokens)
        sources = which
        if kind == "edges":
            sources = torch.from_numpy(model.graph.source_of_edge)[which]
        others = clean.outputs[pairs]
        others[torch.arange(len(which)), sources] = new
        wanted = model.run(tokens[pairs], others, every[which]).logits
        for patches in (
            SinglePatches(model, clean, n_rows=7),
            MaskedPatches(model, tokens, clean, n_rows=7),
        ):
            got = collect(patches, kind, which, pairs, lambda rows: new[rows])
            torch.testing.assert_close(got, wanted, atol=1e-9, rtol=1e-9)


def test_models_of_ours_compute_a_part_only() -> None:
    tokens = random_tokens(MODEL, 2, 4)
    assert isinstance(single_patches(MODEL, tokens, MODEL.run(tokens)), SinglePatches)


@pytest.mark.parametrize("kind", ["edges", "nodes"])
def test_no_rows(kind: str) -> None:
    clean = MODEL.run(random_tokens(MODEL, 2, 4))
    patches = SinglePatches(MODEL, clean, torch.zeros_like(clean.outputs))
    nothing = torch.zeros(0, dtype=torch.long)
    assert not list(getattr(patches, kind)(nothing, nothing))


def test_only_what_differs_has_moved() -> None:
    tokens = torch.tensor([[0, 1, 2], [0, 1, 2]])
    clean, other = MODEL.run(tokens), MODEL.run(torch.tensor([[0, 1, 2], [0, 1, 3]]))
    moved = SinglePatches(MODEL, clean, other.outputs).moved
    assert moved.tolist() == [[False] * 5, [True, False, True, True, True]]


@pytest.mark.usefixtures("no_shape_checks")
def test_an_alternative_that_does_not_fit() -> None:
    clean = MODEL.run(random_tokens(MODEL, 3, 4))
    for shape in ([2, 5, 4, 6], [3, 5, 3, 6], [5, 4, 6]):
        with pytest.raises(ShapeError, match=r"alternative of shape \[3, 5, 4, 6\], got \["):
            SinglePatches(MODEL, clean, torch.zeros(shape))
