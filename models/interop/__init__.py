"""Models of TransformerLens, InterpBench and tracr in, and ours out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
