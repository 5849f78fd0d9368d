"""
What is read once: neither a value nor a text ever changes, so neither does what it says.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Final, Generic, Protocol, Self, TypeVar, cast, overload

OwnerT = TypeVar("OwnerT")
ValueT = TypeVar("ValueT")
KeyT = TypeVar("KeyT")

_REMEMBERED: Final = 1024
_LONGEST_REMEMBERED: Final = 160
"""Together they bound what remembered values may take, whoever chose their text."""
_KEPT: Final = 256


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


class Memory(dict[KeyT, ValueT]):
    """What was worked out before, for so many keys at most; then it starts anew."""

    def keep(self, key: KeyT, value: ValueT) -> ValueT:
        """Remember a value, and return it."""
        if len(self) >= _KEPT:
            self.clear()
        self[key] = value
        return value


class Shape:
    """
    Stands for all descriptions that differ in their ``o=`` line, ports and address at most.

    A port is in use in all of them or in none, and so is an address.
    """

    __slots__ = ("is_known", "readings")

    def __init__(self) -> None:
        self.is_known = False
        """Others are likely to have it, and it is short: what is read of it may be kept."""
        self.readings: dict[object, object] = {}
        """What ``of_shape`` has kept."""


class Shaped(Protocol):
    """What has a shape."""

    @property
    def shape(self) -> Shape:
        """The same object in all that are alike."""


ShapedT = TypeVar("ShapedT", bound=Shaped)


def of_shape(read: Callable[[ShapedT], ValueT]) -> Callable[[ShapedT], ValueT]:
    """Let a function of a description's shape, and nothing else, read each shape once."""

    def remembered(description: ShapedT) -> ValueT:
        readings = description.shape.readings
        if read not in readings:
            readings[read] = read(description)
        return cast(ValueT, readings[read])

    return remembered


def of_shapes(read: Callable[[ShapedT, ShapedT], ValueT]) -> Callable[[ShapedT, ShapedT], ValueT]:
    """Let a function of two descriptions' shapes read each pair once; what raises is not kept."""
    known: Memory[tuple[Shape, Shape], ValueT] = Memory()

    def remembered(one: ShapedT, other: ShapedT) -> ValueT:
        key = one.shape, other.shape
        if key in known:
            return known[key]
        value = read(one, other)
        return known.keep(key, value) if one.shape.is_known and other.shape.is_known else value

    return remembered
