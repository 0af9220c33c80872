"""What components do, one by one: patched, by their gradients, directly, and what they copy."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
