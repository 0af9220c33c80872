from .integrated import component_gradients as component_gradients
from .parts import ComponentScores as ComponentScores
from .patched import component_effects as component_effects
