"""The cases: programs by family, in one registry, with their inputs, pairs and data checks."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
