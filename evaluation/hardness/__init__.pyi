from .measuring import Areas as Areas, Hardness as Hardness, hardness as hardness
from .names import name_scores as name_scores
from .nodes import Living as Living, living as living
