"""The shipped models: found and loaded, measured again, and made by their recipes."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
