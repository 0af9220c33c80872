"""iit's pair of a compiled and a trained model beside `run`: interchanges, accuracies, training."""

from __future__ import annotations

import torch

import knowncircuits as kc
from knowncircuits.compat import hooked_transformer, restore_hooked_transformer
from knowncircuits.models.interop import HighLevelModel, low_level_places
from knowncircuits.names import Node

restore_hooked_transformer()

from iit.model_pairs.strict_iit_model_pair import StrictIITModelPair
from iit.utils.correspondence import Correspondence
from iit.utils.index import Ix, TorchIndex

torch.manual_seed(0)
CASES, N_PAIRS, N_STEPS = ("fraction_of_x", "histogram"), 100, 30


class Pair(StrictIITModelPair):
    """Without BOS, where programs have no answer."""

    @staticmethod
    def get_label_idxs() -> TorchIndex:
        return Ix[:, 1:]


def patched(model: kc.Transformer, task: kc.Task, node: str) -> torch.Tensor:
    """The logits on clean inputs where all edges out of a node read the corrupted value."""
    mask = torch.zeros(1, model.graph.n_edges)
    mask[:, model.graph.edges_from(Node(node))] = 1
    corrupted = model.run(task.corrupted).outputs
    return model.run(task.clean, corrupted, mask).logits


def answers(logits: torch.Tensor) -> torch.Tensor:
    """Ids of values after BOS, or numbers."""
    return (logits if logits.shape[-1] == 1 else logits.argmax(-1))[:, 1:]


def agreement(low: torch.Tensor, high: torch.Tensor) -> float:
    """The share of equal answers, numbers up to iit's tolerance."""
    return float(((answers(low) - answers(high)).abs() < 0.05).float().mean())


shown = []
for case in CASES:
    trained = kc.load_model(case)
    task = kc.make_task(trained, n_pairs=N_PAIRS)
    compiled, nodes = trained.compiled.model, trained.correspondence.nodes
    corr = Correspondence.make_corr_from_dict(
        {
            high: [(hook, TorchIndex(index), None) for hook, index in found]
            for high, found in low_level_places(trained.correspondence).items()
        }
    )
    high_level = HighLevelModel(trained.compiled)
    all_nodes = {"val_IIA_sampling": "all"}
    pair = Pair(high_level, hooked_transformer(trained), corr, all_nodes)
    base, source = ((x, high_level(x), None) for x in (task.clean, task.corrupted))

    with torch.no_grad():
        agreed = []
        for node in corr:
            high, low = pair.do_intervention(base, source, node)
            expected = patched(trained.model, task, nodes[node.name])
            distance = (low - expected).abs().max() / expected.abs().max()
            assert distance < 1e-4, (node, distance)
            expected_high = patched(compiled, task, node.name)
            torch.testing.assert_close(high[:, 1:], answers(expected_high))
            agreed.append(agreement(expected, expected_high))
        outside = {n for n in trained.model.graph.nodes if n[0] in "am"} - {*nodes.values()}
        assert len(pair.nodes_not_in_circuit) == len(outside)
        clean = compiled(task.clean)
        found = pair.run_eval_step(base, source, pair.loss_fn)
        ours = {
            "val/IIA": agreed,
            "val/accuracy": [agreement(task.clean_run.logits, clean)],
            "val/strict_accuracy": [
                agreement(patched(trained.model, task, n), clean) for n in outside
            ],
        }
        for name, numbers in ours.items():
            assert abs(found[name] - sum(numbers) / len(numbers)) < 1e-6, name

        for weight in pair.ll_model.parameters():  # a worse model, for iit to train
            weight += 0.3 * weight.std(correction=0) * torch.randn_like(weight)
        before = pair.run_eval_step(base, source, pair.loss_fn)["val/IIA"]
    optimizer = torch.optim.Adam(pair.ll_model.parameters(), lr=1e-3)
    for _ in range(N_STEPS):
        pair.run_train_step(base, source, pair.loss_fn, optimizer)
    with torch.no_grad():
        after = pair.run_eval_step(base, source, pair.loss_fn)["val/IIA"]
    assert after > before
    shown.append(
        f"{case} {len(corr)} nodes interchanged, IIA {found['val/IIA']:.3f}, "
        f"strict accuracy {found['val/strict_accuracy']:.3f}, as ours; with noise in its weights "
        f"IIA {before:.3f}, after {N_STEPS} steps {after:.3f}"
    )
print("; ".join(shown))
