"""To and from the Hugging Face hub, or a folder: models, results, submissions, the board."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
