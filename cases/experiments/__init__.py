"""The hard suite: experiments, each a question with a dial of levels, and a level a case."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
