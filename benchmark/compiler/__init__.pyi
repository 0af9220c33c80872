from .compile import compile_program as compile_program
from .compiled import Compiled as Compiled
from .validate import validate as validate
from .variables import Variable as Variable
