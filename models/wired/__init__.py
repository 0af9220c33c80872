"""Wired models: compiled ones after exact transformations, whose effect on labels is known."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
