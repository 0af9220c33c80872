from .ablations import (
    ABLATIONS as ABLATIONS,
    Ablation as Ablation,
    NodeStatistics as NodeStatistics,
)
from .causal import SCALES as SCALES, causal_effects as causal_effects
from .realism import realism as realism, train_natural as train_natural
from .wide import wide_effects as wide_effects
