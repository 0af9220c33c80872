"""What a pickle would cost, worked out from its opcodes before any of it is built.

A short pickle can stand for much: memo entries put one object into others again and again, hashing
a tuple goes through all tuples in it, and tuples deep in each other end the process. So the stack
is walked with a depth and a size in place of each object, and what each step would put into a
container, or hash, is paid for out of one budget.
"""

from __future__ import annotations

import pickletools
from dataclasses import dataclass

MAX_DEPTH = 50  # of objects in each other
BUDGET = 2_000_000  # of objects that are put into others, each with all in it
CLASS = 1_000  # a name that becomes a class costs as much as so many objects
FETCH = {"GET", "BINGET", "LONG_BINGET"}
STORE = {"PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"}
ADD = {"APPEND", "APPENDS", "SETITEM", "SETITEMS", "ADDITEMS", "BUILD"}
NAME = {"GLOBAL", "STACK_GLOBAL", "INST"}


@dataclass
class _Item:
    """Stands for an object; one that grows is shared by the stack and the memo."""

    depth: int = 0
    size: int = 1


class BoundError(Exception):
    """A pickle that stands for too much, in words."""


def check_bounds(content: bytes) -> None:
    """Raise BoundError for a pickle that is too deep or too much; what is broken is let through."""
    stack: list[_Item] = []
    below: list[list[_Item]] = []  # what lies under each mark
    memo: dict[int, _Item] = {}
    spent, largest = 0, 1
    for opcode, argument, _ in pickletools.genops(content):
        name, before = opcode.name, opcode.stack_before
        if name == "MARK":
            below.append(stack)
            stack = []
        elif name in FETCH:
            stack.append(memo.get(int(argument or 0), _Item()))
        elif name in STORE and stack:
            memo[len(memo) if name == "MEMOIZE" else int(argument or 0)] = stack[-1]
        elif name == "DUP":
            stack += stack[-1:]
        else:
            parts: list[_Item] = []
            n = len(before)
            if pickletools.markobject in before or (name == "POP" and not stack):
                parts, stack = stack, below.pop() if below else []
                n = before.index(pickletools.markobject) if name != "POP" else 0
            parts = stack[len(stack) - n :] + parts if n else parts
            del stack[max(0, len(stack) - n) :]
            target = parts.pop(0) if name in ADD and parts else _Item()
            cost = sum(part.size for part in parts)
            target.depth = max([target.depth, *(1 + part.depth for part in parts)])
            target.size += cost
            spent += 1 + cost + (CLASS if name in NAME else 0)
            if name == "REDUCE":  # a set of a list that has grown since costs as much as that
                spent += largest
            largest = max(largest, target.size)
            stack += [target] * len(opcode.stack_after)
        if spent > BUDGET:
            raise BoundError(f"more than {BUDGET} objects in others")
        if stack and stack[-1].depth > MAX_DEPTH:
            raise BoundError(f"more than {MAX_DEPTH} objects in each other")
