from .budget import Budget as Budget, budget_results as budget_results
from .compare import Comparison as Comparison, compare_results as compare_results
from .radar import Radar as Radar, radar as radar
from .substitutes import Substitutes as Substitutes, substitutes as substitutes
