"""What a function of a program computes, as its source says it.

Python keeps where the code of a function stands. Where that file can still be read, a lambda is
shown as its expression, with the constants that it was made with in the places of their names.
"""

from __future__ import annotations

import ast
import functools
import inspect
import linecache
import operator
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

from knowncircuits.rasp.expressions import Composed, WithConstant
from knowncircuits.rasp.selectors import Comparison

MOST_ENTRIES, MOST_LETTERS = 6, 40  # of a constant that is written out in place of its name
SIMPLE = (type(None), bool, int, float, str)
LOOPS = (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)
MOST_LINES = 20  # of a function's source
CONSTANT = (Comparison.TRUE, Comparison.FALSE)
OPERATORS: Mapping[Callable[..., Any], str] = {
    operator.lt: "x < y",
    operator.le: "x <= y",
    operator.gt: "x > y",
    operator.ge: "x >= y",
    operator.eq: "x == y",
    operator.ne: "x != y",
    operator.add: "x + y",
    operator.sub: "x - y",
    operator.mul: "x * y",
    operator.truediv: "x / y",
    operator.floordiv: "x // y",
    operator.mod: "x % y",
    operator.neg: "-x",
    operator.not_: "not x",
}


def applied_text(f: Callable[..., Any], arguments: Sequence[str]) -> tuple[str, list[str]]:
    """A function of these arguments: an expression where there is one, else a call by name.

    Second are the arguments that the expression does not read.
    """
    marks = [f"__{i}__" for i in range(len(arguments))]
    text = ast.unparse(_apply(_expression(f), [_name(mark) for mark in marks]))
    unread = [name for mark, name in zip(marks, arguments, strict=True) if mark not in text]
    for mark, name in zip(marks, arguments, strict=True):
        text = text.replace(mark, name)
    return text, unread


def named_functions(f: Callable[..., Any]) -> Iterator[Callable[..., Any]]:
    """The functions that `applied_text` may call by their names."""
    match f:
        case WithConstant():
            yield from named_functions(f.f)
        case Composed():
            yield from (*named_functions(f.inner), *named_functions(f.outer))
        case FunctionType() if isinstance(_found(f), ast.Lambda):
            outside = inspect.getclosurevars(f)
            known = {**outside.globals, **outside.nonlocals}
            yield from (value for value in known.values() if isinstance(value, FunctionType))
        case _:
            yield f


def definition_text(f: Callable[..., Any]) -> str:
    """The source of a function that `applied_text` calls by name; empty where none, or much.

    What it knows from outside stands above it, where that is short.
    """
    if not isinstance(f, FunctionType):
        return ""
    node = _found(f)
    if not isinstance(node, ast.FunctionDef):
        return ""
    lines = _lines(f.__code__)[node.lineno - 1 : node.end_lineno]
    if len(lines) > MOST_LINES:
        return ""
    known = [
        f"# {name} = {ast.unparse(value)}"
        for name, value in sorted(_constants(f, functions=False).items())
        if any(isinstance(part, ast.Name) and part.id == name for part in ast.walk(node))
    ]
    return "\n".join([*known, textwrap.dedent("".join(lines)).rstrip()])


def _expression(f: Callable[..., Any], *, functions: bool = True) -> ast.expr:
    """A function as a lambda, or else as its name; without `functions` theirs stay names."""
    match f:
        case WithConstant():
            x, constant = _name("x"), _constant(f.constant) or _name("constant")
            pair = [constant, x] if f.constant_first else [x, constant]
            return _lambda("x", _apply(_expression(f.f), pair))
        case Composed():
            inner = _apply(_expression(f.inner), [_name("x")])
            return _lambda("x", _apply(_expression(f.outer), [inner]))
        case Comparison():
            return _parsed(f"lambda x, y: {f.value if f in CONSTANT else f'x {f.value} y'}")
        case functools.partial() if not f.keywords:
            bound = [_constant(value) or _name("constant") for value in f.args]
            return ast.Call(_name("partial"), [_expression(f.func), *bound], [])
        case FunctionType():
            node = _found(f)
            if isinstance(node, ast.Lambda):
                known = _Replaced(_constants(f, functions=functions))
                made: ast.expr = known.visit(_copy(node))
                return made
    text = next((text for known, text in OPERATORS.items() if known is f), None)
    if text is not None:
        return _parsed(f"lambda x, y: {text}" if "y" in text else f"lambda x: {text}")
    name = getattr(f, "__qualname__", type(f).__name__).rpartition("<locals>.")[2]
    return _name("f" if name == "<lambda>" else name)


def _apply(f: ast.expr, arguments: list[ast.expr]) -> ast.expr:
    """A call; of a lambda its body, with the arguments in the places of its parameters."""
    if not isinstance(f, ast.Lambda):
        return ast.Call(f, arguments, [])
    names = [parameter.arg for parameter in (*f.args.posonlyargs, *f.args.args)]
    given: dict[str, ast.expr] = dict(zip(names, arguments, strict=False))
    if f.args.vararg is not None:
        given[f.args.vararg.arg] = ast.Tuple(arguments[len(names) :], ast.Load())
    body: ast.expr = _Replaced(given).visit(_copy(f.body))
    return body


class _Replaced(ast.NodeTransformer):
    """Puts expressions in the places of names, and applies the lambdas that come of it."""

    def __init__(self, given: Mapping[str, ast.expr]) -> None:
        self.given = given

    def visit(self, node: ast.AST) -> Any:
        """Any part of an expression."""
        return self._loop(node) if isinstance(node, LOOPS) else super().visit(node)

    def visit_Name(self, node: ast.Name) -> ast.expr:
        """The expression of a name."""
        return self.given.get(node.id, node) if isinstance(node.ctx, ast.Load) else node

    def visit_Lambda(self, node: ast.Lambda) -> ast.expr:
        """A lambda, whose parameters are names of its own."""
        own = {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}
        return ast.Lambda(node.args, self._without(own).visit(node.body))

    def _loop(self, node: Any) -> Any:
        """A comprehension, whose variables are names of its own but for what it begins with."""
        own = {
            part.id
            for part in ast.walk(node)
            if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
        }
        begins = self.visit(node.generators[0].iter)
        self._without(own).generic_visit(node)
        node.generators[0].iter = begins
        return node

    def _without(self, names: set[str]) -> _Replaced:
        return _Replaced({name: value for name, value in self.given.items() if name not in names})

    def visit_Call(self, node: ast.Call) -> ast.expr:
        """A call, of a lambda what it comes to."""
        self.generic_visit(node)
        plain = not node.keywords and not any(isinstance(a, ast.Starred) for a in node.args)
        return _apply(node.func, node.args) if plain else node


def _name(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _lambda(parameter: str, body: ast.expr) -> ast.Lambda:
    made = _parsed(f"lambda {parameter}: 0")
    assert isinstance(made, ast.Lambda)
    made.body = body
    return made


def _copy(node: ast.expr) -> ast.expr:
    """Another tree of the same meaning, which can be changed."""
    return _parsed(ast.unparse(node))


def _parsed(text: str) -> ast.expr:
    return ast.parse(f"({text})", mode="eval").body  # in brackets, as a line of its own may not be


def _constants(f: FunctionType, *, functions: bool) -> dict[str, ast.expr]:
    """The names that a function takes from outside, as far as their values can be written out."""
    outside = inspect.getclosurevars(f)
    found = {}
    for name, value in {**outside.globals, **outside.nonlocals}.items():
        if functions and isinstance(value, FunctionType):
            found[name] = _expression(value, functions=False)
        elif (constant := _constant(value)) is not None:
            found[name] = constant
    return found


def _constant(value: object) -> ast.expr | None:
    """A short constant as an expression."""
    parts = value if isinstance(value, tuple) else (value,)
    simple = len(parts) <= MOST_ENTRIES and all(isinstance(part, SIMPLE) for part in parts)
    if not simple or len(repr(value)) > MOST_LETTERS:
        return None
    return _parsed(repr(value))


def _found(f: FunctionType) -> ast.Lambda | ast.FunctionDef | None:
    """Where a function stands in its file; None where that cannot be read, or not be told."""
    code = f.__code__
    here = [
        node
        for node in _functions("".join(_lines(code)))
        if _first_line(node) == code.co_firstlineno
    ]
    if len(here) > 1:  # several lambdas of a line are told by the places of what they compute
        places = set(code.co_positions())
        here = [
            node for node in here if isinstance(node, ast.Lambda) and _span(node.body) in places
        ]
    return here[0] if len(here) == 1 else None


def _lines(code: CodeType) -> list[str]:
    return linecache.getlines(code.co_filename)


@functools.cache
def _functions(source: str) -> list[ast.Lambda | ast.FunctionDef]:
    try:
        tree = ast.parse(source)
    except SyntaxError:  # the file has changed since it was read
        return []
    return [node for node in ast.walk(tree) if isinstance(node, (ast.Lambda, ast.FunctionDef))]


def _first_line(node: ast.Lambda | ast.FunctionDef) -> int:
    decorators = node.decorator_list if isinstance(node, ast.FunctionDef) else []
    return min(part.lineno for part in (node, *decorators))


def _span(node: ast.expr) -> tuple[int | None, ...]:
    return node.lineno, node.end_lineno, node.col_offset, node.end_col_offset
