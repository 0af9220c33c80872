"""A case as iit's high-level model; `tests/clients` interchanges and trains with iit itself."""

import pytest
import torch

import knowncircuits as kc
from knowncircuits.models.interop.iit import HighLevelModel, low_level_places
from knowncircuits.names import Node


@pytest.mark.parametrize("case", ["fraction_of_x", "histogram"])
def test_every_node_of_a_case_can_be_interchanged(case: str) -> None:
    compiled = kc.load_case(case).compile()
    model, (base, source) = compiled.model, compiled.draw(8, seed=0).chunk(2)
    high = HighLevelModel(compiled)
    assert high.is_categorical() is (case == "histogram")

    def answers(logits: torch.Tensor) -> torch.Tensor:
        if case == "fraction_of_x":
            return logits
        ids = logits.argmax(-1)
        ids[:, 0] = -100
        return ids

    _, cache = high.run_with_cache((source, None))
    outputs = model.run(source).outputs
    for place, node in enumerate(model.graph.sources):
        torch.testing.assert_close(cache[node], outputs[:, place])
        hook = (node, lambda value, hook: cache[hook.name])
        mask = torch.zeros(1, model.graph.n_edges)
        mask[:, model.graph.edges_from(Node(node))] = 1
        expected = answers(model.run(base, outputs, mask).logits)
        torch.testing.assert_close(high.run_with_hooks((base, None), fwd_hooks=[hook]), expected)


def test_nodes_stand_at_hooks_of_the_trained_model() -> None:
    trained = kc.load_model("fraction_of_x", "shuffled")
    places = low_level_places(trained.correspondence)
    nodes = {h: low for h, low in trained.correspondence.nodes.items() if h[0] in "am"}
    assert places.keys() == nodes.keys()
    hooks = kc.to_hooked(trained).hook_dict
    for high, [(hook, index)] in places.items():
        low = Node(nodes[high])
        assert hook in hooks
        assert hook.startswith(f"blocks.{low.layer}.")
        assert index == ((None, None, low.head, None) if low.kind == "head" else (None,))
