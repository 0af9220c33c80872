"""Rotary positions do what they are for."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from knowncircuits.layers import rotations, turned


@given(st.integers(2, 9), st.integers(0, 99))
def test_scores_depend_on_the_distance_alone(d_head: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    q, k = torch.randn(2, d_head, generator=generator, dtype=torch.float64)
    turns = rotations(8, d_head, torch.float64, "cpu")
    queries, keys = (turned(x.expand(8, -1), turns[:, i]) for i, x in enumerate((q, k)))
    scores = queries @ keys.T
    for distance in range(-7, 8):
        diagonal = scores.diagonal(distance)
        assert torch.allclose(diagonal, diagonal[:1])
    assert torch.allclose(scores[0, 0], q @ k)
    assert (scores[0, 1:] - scores[0, 0]).abs().max() > 1e-9
    assert torch.allclose(queries.norm(dim=-1), q.norm())


def test_values_are_not_turned() -> None:
    values = torch.randn(2, 8, 5, dtype=torch.float64)
    assert torch.equal(turned(values, rotations(8, 5, torch.float64, "cpu")[:, 2]), values)
