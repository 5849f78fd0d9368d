"""
What is read once: neither a value nor a text ever changes, so neither does what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, Protocol, Self, TypeVar, cast, overload

OwnerT = TypeVar("OwnerT")
ValueT = TypeVar("ValueT")

_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 160
"""Together they bound what remembered values may take, whoever chose their text."""


class once(Generic[OwnerT, ValueT]):
    """
    A property of an unchangeable object that is read when it is first asked for, and kept.

    It stands in the ``__dict__`` from then on, where equality and ``repr`` of a dataclass do not
    look. What raises is not kept.
    """

    def __init__(self, read: Callable[[OwnerT], ValueT]) -> None:
        self._read = read
        self._name = read.__name__
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, instance: None, owner: type[OwnerT]) -> Self: ...

    @overload
    def __get__(self, instance: OwnerT, owner: type[OwnerT]) -> ValueT: ...

    def __get__(self, instance: OwnerT | None, owner: type[OwnerT]) -> Self | ValueT:
        """Give the value, and see to it that the next look goes straight to it."""
        if instance is None:
            return self
        value = instance.__dict__[self._name] = self._read(instance)
        return value


class Alike(Protocol):
    """What shares its readings with all others that say the same."""

    @property
    def readings(self) -> dict[str, object]:
        """What was read of these lines so far, by the name of the property."""


AlikeT = TypeVar("AlikeT", bound=Alike)


class alike(Generic[AlikeT, ValueT]):
    """A property that is read once for all objects that share their ``readings``."""

    def __init__(self, read: Callable[[AlikeT], ValueT]) -> None:
        self._read = read
        self._name = read.__name__
        self.__doc__ = read.__doc__

    @overload
    def __get__(self, instance: None, owner: type[AlikeT]) -> Self: ...

    @overload
    def __get__(self, instance: AlikeT, owner: type[AlikeT]) -> ValueT: ...

    def __get__(self, instance: AlikeT | None, owner: type[AlikeT]) -> Self | ValueT:
        """Give the value that is there, or read it."""
        if instance is None:
            return self
        readings, name = instance.readings, self._name
        if name not in readings:
            readings[name] = self._read(instance)
        return cast(ValueT, readings[name])


def remembering(parse: Callable[[str], ValueT]) -> Callable[[str], ValueT]:
    """Read the same text only once: phones say the same of their codecs in every call."""
    remembered = lru_cache(_REMEMBERED)(parse)

    def read(text: str) -> ValueT:
        return remembered(text) if len(text) <= _LONGEST_REMEMBERED else parse(text)

    return read
