"""The client library, from its docstrings and signatures."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

import newswire
from newswire.errors import NewswireError
from reference.page import Page, block, prose

_ABOUT: Final = """\
`from newswire import Publisher, Subscriber`: the classes that programs use, those of what they give, and those of what goes
wrong. [Publish](publish.md) and [subscribe and stream](subscribe.md) have examples.
"""
_FIRST: Final = ("Publisher", "Subscriber", "AsyncSubscriber", "NewswireHandler")  # what programs make themselves


class _Words(str):
    """An annotation as it is written."""

    def __repr__(self) -> str:
        return str(self)


def text() -> str:
    """The page."""
    exported = [getattr(newswire, name) for name in newswire.__all__ if isinstance(getattr(newswire, name), type)]
    errors = [kind for kind in exported if issubclass(kind, NewswireError)]
    first = [getattr(newswire, name) for name in _FIRST]
    parts = ["# Library\n", _ABOUT]
    for kind in (*first, *(kind for kind in exported if kind not in (*first, *errors))):
        parts += _class(kind)
    parts.append("## Errors\n")
    parts += [f"### {kind.__name__}\n\n{prose(inspect.getdoc(kind))}" for kind in errors]
    return "\n".join(parts)


def _class(kind: type[Any]) -> Iterator[str]:
    yield f"## {kind.__name__}\n"
    yield block(f"class {kind.__name__}{_signature(kind)}", "python")
    yield prose(inspect.getdoc(kind))
    if kind.__init__.__doc__ and inspect.isfunction(kind.__init__):
        yield prose(inspect.getdoc(kind.__init__))
    for name, member in vars(kind).items():
        function = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        if name.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        yield f"### {kind.__name__}.{name}\n"
        head = (
            "property " if isinstance(member, property) else "async def " if inspect.iscoroutinefunction(function) else "def "
        )
        yield block(f"{head}{name}{_signature(function)}", "python")
        yield prose(inspect.getdoc(function))


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    parameters = [
        one.replace(annotation=_words(one.annotation))
        for name, one in signature.parameters.items()
        if name not in ("self", "cls") and not _is_hook(one)
    ]
    made = signature.replace(parameters=parameters, return_annotation=_words(signature.return_annotation))
    short = str(made)
    if len(short) <= 90:
        return short
    answer = str(made.replace(parameters=[]))[2:]
    return "(\n" + "".join(f"    {row},\n" for row in _stars(parameters)) + ")" + answer


def _is_hook(parameter: inspect.Parameter) -> bool:
    """Whether it is there for tests: the clock, chance, a function in place of another."""
    return parameter.default is not parameter.empty and inspect.isroutine(parameter.default)


def _stars(parameters: list[inspect.Parameter]) -> Iterator[str]:
    """The parameters, with the star before those that are named alone."""
    starred = False
    for one in parameters:
        if one.kind is one.KEYWORD_ONLY and not starred:
            yield "*"
        starred = starred or one.kind in (one.KEYWORD_ONLY, one.VAR_POSITIONAL)
        yield str(one)


def _words(annotation: Any) -> Any:
    return _Words(annotation) if isinstance(annotation, str) else annotation


PAGE = Page(name="library", title="Library", about="each class and method for Python", text=text)
