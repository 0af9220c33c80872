"""The leaderboard: submissions that anyone can verify, ranks, and the site."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
