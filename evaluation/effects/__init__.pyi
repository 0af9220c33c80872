from .ablations import (
    ABLATIONS as ABLATIONS,
    Ablation as Ablation,
    NodeStatistics as NodeStatistics,
)
from .causal import SCALES as SCALES, causal_effects as causal_effects
from .natural import natural_model as natural_model, train_natural as train_natural
from .realism import realism as realism
from .wide import wide_effects as wide_effects
