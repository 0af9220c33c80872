"""knowncircuits: circuit discovery scored against circuits that are known.

Here are the names that most work begins with; each room has more, `from knowncircuits.leaderboard
import rank_submissions`. A room's names are written once, in the stub beside its `__init__`, and
loaded when first used, so that importing the package, or asking for help, is instant.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
