"""Interchange training: what is minimised, by which steps, and what is logged of them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
