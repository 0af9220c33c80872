from .curves import score_curve as score_curve
from .scores import Score as Score, Scores as Scores, score as score, score_views as score_views
from .stored import read_scores as read_scores
