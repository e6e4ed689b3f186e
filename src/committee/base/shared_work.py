"""Work that several callers need, done once while a block runs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple, TypeVar, cast

T = TypeVar("T")


class _Scope(NamedTuple):
    """What a block has kept, and what ends with it."""

    known: dict[Hashable, Any]
    stack: ExitStack


_scope: ContextVar[_Scope | None] = ContextVar("shared_work", default=None)


@contextmanager
def shared_work() -> Iterator[None]:
    """Keep inside the block what `entered` opens, and close all of it at the end of the outermost block.

    Examples
    --------
    >>> import tempfile
    >>> from committee.base.shared_work import entered, shared_work
    >>> with shared_work():
    ...     with entered("folder", tempfile.TemporaryDirectory) as first:
    ...         pass
    ...     with entered("folder", tempfile.TemporaryDirectory) as second:
    ...         print(first == second)
    True
    """
    if _scope.get() is not None:
        yield
        return
    with ExitStack() as stack:
        token = _scope.set(_Scope({}, stack))
        try:
            yield
        finally:
            _scope.reset(token)


@contextmanager
def entered(key: Hashable, make: Callable[[], AbstractContextManager[T]]) -> Iterator[T]:
    """Yield what a context manager yields; inside of `shared_work`, the same for every call with this key.

    Parameters
    ----------
    key : hashable
        What the result depends on. Of an object that lives as long as the block, its identity will do.
    make : callable
        Returns the context manager.
    """
    scope = _scope.get()
    if scope is None:
        with make() as found:
            yield found
        return
    if key not in scope.known:
        scope.known[key] = scope.stack.enter_context(make())
    yield cast("T", scope.known[key])
