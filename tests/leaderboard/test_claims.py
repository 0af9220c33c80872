"""Claims are compared with what scores come to, to three digits."""

from __future__ import annotations

import math

from knowncircuits.leaderboard.claims import refuted_claims


def test_claims_that_scores_do_not_bear_out() -> None:
    standing = {"auroc": 0.9312, "average_precision": 0.5, "models": 7, "p_holm": math.nan}
    claims = {"auroc": 0.931, "average_precision": 0.6, "models": 9.0, "p_holm": 0.1, "speed": 2.0}
    refuted = {name: claimed for name, claimed, _ in refuted_claims(claims, standing)}
    assert refuted == {"average_precision": 0.6, "p_holm": 0.1}
