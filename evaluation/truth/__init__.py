"""Truth under sets: a compiled model enumerated, never asked by single patches."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
