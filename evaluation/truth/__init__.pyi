from .by_pair import pair_circuits as pair_circuits
from .enumeration import MAX_EDGES as MAX_EDGES, set_truth as set_truth
from .known import known_sets as known_sets
from .positions import position_labels as position_labels
