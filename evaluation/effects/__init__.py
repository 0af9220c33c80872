"""Causal effects: how often the output changes when a node or an edge is ablated."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
