"""RASP: the language, its interpreter, and idioms. `from knowncircuits import rasp` as in tracr."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
