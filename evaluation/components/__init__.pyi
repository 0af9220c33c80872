from .agreement import Agreement as Agreement, agreement as agreement
from .integrated import component_gradients as component_gradients
from .methods import COMPONENT_METHODS as COMPONENT_METHODS
from .parts import ComponentScores as ComponentScores
from .patched import component_effects as component_effects
