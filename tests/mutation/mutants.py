"""Mutants: a source with one operator, constant, condition or returned value changed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

_COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
_ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.MatMult: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}


@dataclass(frozen=True)
class Mutant:
    """One change of a source; `changed` replaces the text between the two places (line, column in bytes)."""

    line: int
    column: int
    end_line: int
    end_column: int
    kind: str
    original: str
    changed: str

    def applied_to(self, source: str) -> str:
        """The source with the change."""
        lines = source.encode().splitlines(keepends=True)
        first, last = lines[self.line - 1], lines[self.end_line - 1]
        text = first[: self.column] + self.changed.encode() + last[self.end_column :]
        return b"".join([*lines[: self.line - 1], text, *lines[self.end_line :]]).decode()

    def __str__(self) -> str:
        """``line: kind: original -> changed``."""
        return f"{self.line}: {self.kind}: {self.original} -> {self.changed}"


def mutants_of(source: str) -> list[Mutant]:
    """All mutants of a source, in its order.

    Messages (``raise`` and its expression), annotations, docstrings and other strings are left alone: tests would have
    to repeat them.
    """
    found = []
    for node in _mutable(ast.parse(source)):
        for kind, new in _changes(node):
            original = ast.get_source_segment(source, node) or ""
            assert node.end_lineno is not None
            assert node.end_col_offset is not None
            place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
            statement = isinstance(node, ast.stmt)
            changed = ast.unparse(new) if statement else f"({ast.unparse(new)})"
            found.append(Mutant(*place, kind, original, changed))
    return sorted(found, key=lambda mutant: (mutant.line, mutant.column, mutant.changed))


def _mutable(node: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    """Expressions and statements whose change tests should notice."""
    for name, value in ast.iter_fields(node):
        if name in {"annotation", "returns", "exc", "decorator_list"} or (isinstance(node, ast.If) and _typing(node)):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.JoinedStr):
                continue
            if isinstance(child, ast.expr | ast.stmt):
                yield child
            if isinstance(child, ast.AST):
                yield from _mutable(child)


def _typing(node: ast.If) -> bool:
    return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _changes(node: ast.expr | ast.stmt) -> Iterator[tuple[str, ast.AST]]:
    match node:
        case ast.Compare(left, [operator, *others], comparators):
            yield "comparison", ast.Compare(left, [_COMPARISONS[type(operator)](), *others], comparators)
        case ast.BinOp(left, operator, right) if type(operator) in _ARITHMETIC:
            yield "arithmetic", ast.BinOp(left, _ARITHMETIC[type(operator)](), right)
        case ast.BoolOp(operator, values):
            yield "boolean", ast.BoolOp(ast.Or() if isinstance(operator, ast.And) else ast.And(), values)
        case ast.UnaryOp(ast.Not(), operand):
            yield "negation", operand
        case ast.UnaryOp(ast.USub() | ast.Invert(), operand):
            yield "sign", operand
        case ast.Constant(bool(value)):
            yield "constant", ast.Constant(not value)
        case ast.Constant(int(value)):
            yield "constant", ast.Constant(value + 1)
        case ast.Constant(float(value)):
            yield "constant", ast.Constant(value * 1.5 + (value == 0))
        case ast.IfExp(test, body, orelse):
            yield "condition", ast.IfExp(test, orelse, body)
        case ast.Return(value) if value is not None and not _is_none(value):
            yield "returned value", ast.Return(ast.Constant(None))
        case ast.AugAssign(target, operator, value) if type(operator) in _ARITHMETIC:
            yield "arithmetic", ast.AugAssign(target, _ARITHMETIC[type(operator)](), value)
        case _:
            return


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
