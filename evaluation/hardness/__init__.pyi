from .measuring import Areas as Areas, Hardness as Hardness, hardness as hardness
from .stored import Measured as Measured, measure_zoo as measure_zoo, read_hardness as read_hardness
from .nodes import Living as Living, living as living
