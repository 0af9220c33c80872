from .by_pair import discover_by_pair as discover_by_pair
from .controls import CONTROLS as CONTROLS
from .discovery import discover as discover, methods as methods
from .method import Attribution as Attribution, Control as Control, Method as Method
from .names import name_scores as name_scores
from .registry import METHODS as METHODS
