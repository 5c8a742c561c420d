"""Python functions as tools for a run: what Claude is told of one, and how it is called.

The schema of the arguments is made of the signature by pydantic, their descriptions of the docstring (Google, NumPy,
reST and Epydoc style) by docstring-parser.
"""

from __future__ import annotations

import functools
import inspect
import keyword
import re
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, overload

import docstring_parser
from pydantic import TypeAdapter, ValidationError, validate_call
from pydantic.errors import PydanticSchemaGenerationError, PydanticUndefinedAnnotation, PydanticUserError
from pydantic_core import to_json

from ..errors import InvalidInput
from ..models import FUNCTIONS_SERVER, MAX_DESCRIPTION, MAX_FUNCTION_RESULT, MAX_FUNCTIONS, Function

F = TypeVar("F", bound=Callable[..., Any])

Tools: TypeAlias = Iterable[Callable[..., Any]]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MARK = "__agents_tool__"
CUT = "\n... cut here: the result has {} characters, and at most {} are passed on."


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[F], F]: ...
def tool(function: F | None = None, *, name: str | None = None, description: str | None = None) -> F | Callable[[F], F]:
    """Say under which name, and with what description, Claude is to know a function. Nothing else needs it:

    @tool(name="orders_of", description="All orders of a customer, newest first.")
    def _orders(customer: str) -> list[dict]: ...
    """

    def marked(given: F) -> F:
        setattr(given, _MARK, (name, description))
        return given

    return marked if function is None else marked(function)


@dataclass(frozen=True)
class PythonFunction:
    """A function of this program, ready to be called by a run."""

    definition: Function
    is_async: bool
    _checked: Callable[..., Any]
    _parameters: Mapping[str, inspect.Parameter]

    @property
    def name(self) -> str:
        return self.definition.name

    def call(self, arguments: Mapping[str, Any]) -> Any:
        """Call it with arguments as JSON gives them; a coroutine when it is async. Raises what it raises, and
        pydantic's ValidationError for arguments of other types."""
        positional, named = [], dict(arguments)
        for name, parameter in self._parameters.items():
            if parameter.kind is parameter.POSITIONAL_ONLY and name in named:
                positional.append(named.pop(name))
        return self._checked(*positional, **named)


def functions_of(tools: Tools | None) -> dict[str, PythonFunction]:
    """The functions by name. Raises InvalidInput for what cannot be one, and says why."""
    if tools is None:
        return {}
    if callable(tools):
        raise InvalidInput("tools: give a list, such as tools=[my_function].")
    found: dict[str, PythonFunction] = {}
    for each in tools:
        function = function_of(each)
        if function.name in found:
            raise InvalidInput(f"tools: two functions have the name {function.name!r}; name one with @tool(name=...).")
        found[function.name] = function
    if len(found) > MAX_FUNCTIONS:
        raise InvalidInput(f"tools: a run takes at most {MAX_FUNCTIONS} functions, and these are {len(found)}.")
    return found


def function_of(function: Callable[..., Any]) -> PythonFunction:
    """A function as a tool, by its signature and docstring. Raises InvalidInput."""
    if not callable(function):
        raise InvalidInput(f"tools: {function!r:.100} is no function. Give functions, such as tools=[my_function].")
    given_name, given_description = getattr(function, _MARK, (None, None))
    bare = function.func if isinstance(function, functools.partial) else function
    name = str(given_name or getattr(bare, "__name__", ""))
    if not _NAME.fullmatch(name) or keyword.iskeyword(name):
        raise InvalidInput(
            f"tools: {name or repr(function)!r:.100} cannot be a tool's name: at most 64 of A-Z, a-z, 0-9 and _. Name "
            "it with @tool(name=...)."
        )
    try:
        parameters = inspect.signature(function).parameters
        target = _adaptable(function)
        schema = TypeAdapter(target).json_schema()
        checked = validate_call(target)
    except (
        PydanticSchemaGenerationError,
        PydanticUndefinedAnnotation,
        PydanticUserError,
        ValueError,
        TypeError,
    ) as error:
        raise InvalidInput(
            f"tools: the arguments of {name} cannot be described to Claude: {_first_line(error)}. Annotate them with "
            "types that JSON can carry: str, int, float, bool, list, dict, Literal, Enum, dataclasses, pydantic models."
        ) from error
    if schema.get("type") != "object":
        raise InvalidInput(f"tools: {name} takes *args; Claude gives arguments by name. Use named parameters.")
    schema = _plain(schema)
    docstring = docstring_parser.parse(inspect.getdoc(bare) or "")
    properties = schema.setdefault("properties", {})
    for parameter in docstring.params:
        described = properties.get(parameter.arg_name)
        if isinstance(described, dict) and parameter.description and "description" not in described:
            described["description"] = parameter.description
    said = given_description or "\n\n".join(
        part for part in (docstring.short_description, docstring.long_description) if part
    )
    if not given_description and docstring.returns and docstring.returns.description:
        said += f"\n\nGives: {docstring.returns.description}"
    definition = Function(name=name, description=said.strip()[:MAX_DESCRIPTION], input_schema=schema)
    return PythonFunction(definition, inspect.iscoroutinefunction(bare), checked, parameters)


def rule_of(function: Callable[..., Any] | str) -> str:
    """The rule that allows calls of a function without asking, for an agent's `allowed_tools`."""
    name = function if isinstance(function, str) else function_of(function).name
    return f"mcp__{FUNCTIONS_SERVER}__{name}"


def said(value: Any) -> str:
    """What a function gave, as text for Claude: text as it is, all else as JSON where it can be."""
    if isinstance(value, str):
        text = value
    elif _module(value).startswith("pandas"):
        text = str(value)
    else:
        text = to_json(value, fallback=str, indent=1, inf_nan_mode="constants").decode("utf-8", "replace")
    if len(text) > MAX_FUNCTION_RESULT:
        note = CUT.format(len(text), MAX_FUNCTION_RESULT)
        text = text[: MAX_FUNCTION_RESULT - len(note)] + note
    return text


def failure(error: BaseException) -> str:
    """An exception as Claude is told of it."""
    if isinstance(error, ValidationError):
        problems = error.errors(include_url=False)[:5]
        lines = [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}" for problem in problems]
        return "The arguments were not taken: " + "; ".join(lines)
    return f"{type(error).__name__}: {error}"[:MAX_FUNCTION_RESULT]


def _adaptable(function: Callable[..., Any]) -> Any:
    """What pydantic takes: functions and methods as they are, other callables by their `__call__`."""
    if isinstance(function, types.FunctionType | types.MethodType | functools.partial):
        return function
    return type(function).__call__.__get__(function)


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the titles that pydantic makes of names: Claude pays for each word."""

    def without(node: Any, *, names: bool = False) -> Any:
        if isinstance(node, dict):
            return {
                key: without(value, names=key in ("properties", "$defs") and not names)
                for key, value in node.items()
                if names or key != "title" or not isinstance(value, str)
            }
        return [without(each) for each in node] if isinstance(node, list) else node

    plain: dict[str, Any] = without(schema)
    return plain


def _module(value: Any) -> str:
    return type(value).__module__ or ""


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
