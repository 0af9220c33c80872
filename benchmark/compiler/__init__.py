"""The compiler: RASP programs to transformers whose circuit is known."""

from knowncircuits.compiler.compile import compile_program
from knowncircuits.compiler.compiled import Compiled
from knowncircuits.compiler.validate import validate
from knowncircuits.compiler.variables import Variable

__all__ = ["Compiled", "Variable", "compile_program", "validate"]
