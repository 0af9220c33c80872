from .agreement import Agreement as Agreement, agreement as agreement
from .by_position import (
    edge_activations as edge_activations,
    edge_effects_by_position as edge_effects_by_position,
)
from .integrated import component_gradients as component_gradients
from .methods import COMPONENT_METHODS as COMPONENT_METHODS
from .parts import ComponentScores as ComponentScores
from .patched import component_effects as component_effects
from .act import act_patch as act_patch
from .attending import (
    Attention as Attention,
    attention as attention,
    attention_output as attention_output,
)
from .copying import copy_scores as copy_scores
from .direct import backup as backup, direct_logits as direct_logits
from .path import path_patch as path_patch
from .roles import score_components as score_components, score_nodes as score_nodes
from .pair import one_pair as one_pair
