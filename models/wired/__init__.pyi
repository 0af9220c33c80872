from .bases import rotate as rotate
from .confined import confine as confine
from .copies import split as split
from .delay import delay as delay
from .dimensions import squeeze as squeeze
from .enumeration import distance as distance, edge_effects as edge_effects
from .hosts import host as host
from .merging import merge as merge
from .movers import back_up as back_up, oppose as oppose
from .norms import normalise as normalise
from .recipes import (
    TRANSFORMATIONS as TRANSFORMATIONS,
    hosted as hosted,
    model_of as model_of,
    wire as wire,
)
from .sharpness import sharpen as sharpen
from .stored import load_wired as load_wired, save_wired as save_wired
from .streams import directions as directions
from .strengths import scale as scale
from .units import move as move
from .wired import Step as Step, Wired as Wired
