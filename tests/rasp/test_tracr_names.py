"""tracr's spellings: expressions' copies, labels and base class, and its two evaluations."""

from __future__ import annotations

from knowncircuits import rasp
from knowncircuits.rasp import causal_eval


def test_copies_keep_all_but_their_number() -> None:
    counted = rasp.make_hist()
    copied = counted.copy()
    assert isinstance(copied, rasp.RASPExpr)
    assert (copied.name, copied.children) == (counted.name, counted.children)
    assert copied.unique_id != counted.unique_id
    assert copied.named("other").name == "other"
    assert copied.name == counted.name == "hist"
    assert copied("aba") == counted("aba") == [2, 1, 2]


def test_no_two_labels_are_equal_and_primitives_have_their_names() -> None:
    program = rasp.make_sort_freq(5)
    relatives = [program, program.copy(), program.named("sort_freq"), rasp.numerical(program)]
    assert len({expr.label for expr in relatives}) == 4
    assert program.label == f"sort_freq_{program.unique_id}"
    labels = [primitive.label for primitive in (rasp.tokens, rasp.indices, rasp.length)]
    assert labels == ["tokens", "indices", "length"]


def test_evaluations() -> None:
    same = rasp.Select(rasp.tokens, rasp.tokens, rasp.Comparison.EQ)
    assert rasp.evaluate(same, "aa") == [[True, True], [True, True]]
    assert causal_eval.evaluate(same, "aa") == [[True, False], [True, True]]
    assert rasp.evaluate(rasp.SelectorWidth(same), "aab") == [2, 2, 1]
    assert causal_eval.evaluate(rasp.SelectorWidth(same), "aab") == [1, 2, 1]
    assert causal_eval.evaluate(rasp.SelectorWidth(~same), "aab") == [0, 0, 2]
