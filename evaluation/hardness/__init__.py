"""How hard the circuits of models are to find: the gap, living nodes, what cheap scores reach."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
