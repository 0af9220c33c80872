from . import (
    certificates as certificates,
    interop as interop,
    training as training,
    wired as wired,
    zoo as zoo,
)
from .trained import Trained as Trained, load_trained as load_trained, save_trained as save_trained
from .zoo.shelf import list_models as list_models, load_model as load_model
