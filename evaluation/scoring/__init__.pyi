from .by_pair import score_pairs as score_pairs
from .curves import score_curve as score_curve
from .positions import score_positions as score_positions
from .scores import Score as Score, Scores as Scores, score as score, score_views as score_views
from .set_scores import set_scores as set_scores
from .stored import read_scores as read_scores
