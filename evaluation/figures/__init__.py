"""Plotly figures of effects, circuits and faithfulness. Nothing is shown: see `save_figure`."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
