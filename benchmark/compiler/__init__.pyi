from .compile import compile_program as compile_program
from .compiled import Compiled as Compiled
from .variables import Variable as Variable
