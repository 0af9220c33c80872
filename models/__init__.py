"""Models: trained ones and certificates; TransformerLens, tracr and InterpBench in and out."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
