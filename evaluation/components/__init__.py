"""What components do one by one: heads, neurons and nodes, whole or at single positions."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
