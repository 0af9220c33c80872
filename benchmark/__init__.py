"""knowncircuits: circuit discovery scored against circuits that are known.

Names are loaded when first used, so that importing the package, or asking for help, is instant.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knowncircuits.cases import Case, list_cases, load_case
    from knowncircuits.circuit import Circuit, Label
    from knowncircuits.compiler import Compiled, compile_program, validate
    from knowncircuits.correspondence import Correspondence
    from knowncircuits.errors import KnownCircuitsError
    from knowncircuits.evaluation.comparison.compare import compare_results
    from knowncircuits.evaluation.effects import causal_effects, wide_effects
    from knowncircuits.evaluation.effects.realism import realism, train_natural
    from knowncircuits.evaluation.faithfulness.completeness import completeness, minimality
    from knowncircuits.evaluation.faithfulness.construction import greedy, top_n
    from knowncircuits.evaluation.faithfulness.growth import faithfulness
    from knowncircuits.evaluation.faithfulness.runs import faithfulness_table
    from knowncircuits.evaluation.figures import (
        circuit_effects_figure,
        circuit_sankey,
        effects_figure,
        effects_heatmap,
        faithfulness_figure,
        save_figure,
    )
    from knowncircuits.evaluation.methods.discover import discover, methods
    from knowncircuits.evaluation.runs.results import read_results
    from knowncircuits.evaluation.scoring.curves import score_curve
    from knowncircuits.evaluation.scoring.scores import Score, Scores, score, score_views
    from knowncircuits.evaluation.task import Task, make_task
    from knowncircuits.exchange import graph_file, read_graph_file, write_graph_file
    from knowncircuits.graph import Graph
    from knowncircuits.leaderboard.board import Board, rank_submissions
    from knowncircuits.leaderboard.making import make_submission
    from knowncircuits.leaderboard.site.build import build_site
    from knowncircuits.leaderboard.submission import (
        Submission,
        read_submission,
        read_submissions,
        write_submission,
    )
    from knowncircuits.models.certificates.certificate import Certificate, certify, read_certificate
    from knowncircuits.models.interop.bridge import BridgedModel, to_transformer_lens
    from knowncircuits.models.interop.hooked import to_hooked
    from knowncircuits.models.interop.interpbench import load_interpbench
    from knowncircuits.models.interop.tracr import from_tracr
    from knowncircuits.models.trained import Trained, load_trained, save_trained
    from knowncircuits.models.zoo import list_models, load_model
    from knowncircuits.transformer import Transformer, TransformerConfig
    from knowncircuits.vocabulary import Vocabulary

_HOMES = {
    "knowncircuits.cases": ("Case", "list_cases", "load_case"),
    "knowncircuits.circuit": ("Circuit", "Label"),
    "knowncircuits.compiler": ("Compiled", "compile_program", "validate"),
    "knowncircuits.correspondence": ("Correspondence",),
    "knowncircuits.errors": ("KnownCircuitsError",),
    "knowncircuits.evaluation.comparison.compare": ("compare_results",),
    "knowncircuits.evaluation.scoring.curves": ("score_curve",),
    "knowncircuits.evaluation.faithfulness.completeness": ("completeness", "minimality"),
    "knowncircuits.evaluation.faithfulness.construction": ("greedy", "top_n"),
    "knowncircuits.evaluation.methods.discover": ("discover", "methods"),
    "knowncircuits.evaluation.effects": ("causal_effects", "wide_effects"),
    "knowncircuits.evaluation.faithfulness.runs": ("faithfulness_table",),
    "knowncircuits.evaluation.faithfulness.growth": ("faithfulness",),
    "knowncircuits.evaluation.figures": (
        "circuit_effects_figure",
        "circuit_sankey",
        "effects_figure",
        "effects_heatmap",
        "faithfulness_figure",
        "save_figure",
    ),
    "knowncircuits.evaluation.effects.realism": ("realism", "train_natural"),
    "knowncircuits.evaluation.runs.results": ("read_results",),
    "knowncircuits.evaluation.scoring.scores": ("Score", "Scores", "score", "score_views"),
    "knowncircuits.evaluation.task": ("Task", "make_task"),
    "knowncircuits.exchange": ("graph_file", "read_graph_file", "write_graph_file"),
    "knowncircuits.graph": ("Graph",),
    "knowncircuits.leaderboard.board": ("Board", "rank_submissions"),
    "knowncircuits.leaderboard.making": ("make_submission",),
    "knowncircuits.leaderboard.site.build": ("build_site",),
    "knowncircuits.leaderboard.submission": (
        "Submission",
        "read_submission",
        "read_submissions",
        "write_submission",
    ),
    "knowncircuits.models.interop.bridge": ("BridgedModel", "to_transformer_lens"),
    "knowncircuits.models.certificates.certificate": ("Certificate", "certify", "read_certificate"),
    "knowncircuits.models.interop.hooked": ("to_hooked",),
    "knowncircuits.models.interop.interpbench": ("load_interpbench",),
    "knowncircuits.models.interop.tracr": ("from_tracr",),
    "knowncircuits.models.trained": ("Trained", "load_trained", "save_trained"),
    "knowncircuits.models.zoo": ("list_models", "load_model"),
    "knowncircuits.transformer": ("Transformer", "TransformerConfig"),
    "knowncircuits.vocabulary": ("Vocabulary",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "Board",
    "BridgedModel",
    "Case",
    "Certificate",
    "Circuit",
    "Compiled",
    "Correspondence",
    "Graph",
    "KnownCircuitsError",
    "Label",
    "Score",
    "Scores",
    "Submission",
    "Task",
    "Trained",
    "Transformer",
    "TransformerConfig",
    "Vocabulary",
    "build_site",
    "causal_effects",
    "certify",
    "circuit_effects_figure",
    "circuit_sankey",
    "compare_results",
    "compile_program",
    "completeness",
    "discover",
    "effects_figure",
    "effects_heatmap",
    "faithfulness",
    "faithfulness_figure",
    "faithfulness_table",
    "from_tracr",
    "graph_file",
    "greedy",
    "list_cases",
    "list_models",
    "load_case",
    "load_interpbench",
    "load_model",
    "load_trained",
    "make_submission",
    "make_task",
    "methods",
    "minimality",
    "rank_submissions",
    "read_certificate",
    "read_graph_file",
    "read_results",
    "read_submission",
    "read_submissions",
    "realism",
    "save_figure",
    "save_trained",
    "score",
    "score_curve",
    "score_views",
    "to_hooked",
    "to_transformer_lens",
    "top_n",
    "train_natural",
    "validate",
    "wide_effects",
    "write_graph_file",
    "write_submission",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
