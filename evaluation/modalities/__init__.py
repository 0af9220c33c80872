"""Circuits of heads and neurons at positions, for one task whose data come in two modalities."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
