"""Checked reading of a table (a TOML table, say) into a frozen dataclass."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from samplerkit.errors import SamplerKitError
from samplerkit.spelling import did_you_mean

T = TypeVar("T")


class ConfigError(SamplerKitError):
    """A configuration that cannot be used; the text says which key, and what to write instead."""


def table_as(cls: type[T], table: Mapping[str, object], *, where: str) -> T:
    """Build the dataclass ``cls`` from ``table``; builders call it for their free tables.

    Args:
        cls: A dataclass whose fields are the allowed keys. Fields annotated with bool, int, float, str,
            ``tuple[...]``, unions of these with None, or a mapping are checked; others pass unchecked.
        table: The keys and values as read from the file.
        where: The table's name for the error message, such as ``"algo"``.

    Raises:
        ConfigError: A key is unknown (with a suggestion), missing, or has a value of another type.
    """
    fields = {field.name: field for field in dataclasses.fields(typing.cast(Any, cls)) if field.init}
    for key in table:
        if key not in fields:
            allowed = ", ".join(sorted(fields)) or "none"
            raise ConfigError(
                f"[{where}] has no key {key!r}.{did_you_mean(key, fields)} Keys that can be set: {allowed}."
            )
    annotations = typing.get_type_hints(cls)
    values = {key: _checked(value, annotations[key], f"{where}.{key}") for key, value in table.items()}
    missing = [name for name, field in fields.items() if name not in values and _is_required(field)]
    if missing:
        key = f"{where}.{missing[0]}"
        raise ConfigError(f"[{where}] lacks {missing[0]!r}: write it into the file or pass --set {key}=…")
    return cls(**values)


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _checked(value: object, annotation: object, where: str) -> object:
    """The value, converted where TOML cannot write the type (tuples, whole-numbered floats)."""
    alternatives = typing.get_args(annotation) if _is_union(annotation) else (annotation,)
    for alternative in alternatives:
        fits, converted = _fit(value, alternative)
        if fits:
            return converted
    expected = " or ".join(_type_name(a) for a in alternatives if a is not types.NoneType)
    raise ConfigError(f"{where} must be {expected}, not {value!r} ({type(value).__name__}).")


def _fit(value: object, annotation: object) -> tuple[bool, object]:
    origin = typing.get_origin(annotation) or annotation
    if origin is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        return fits, float(typing.cast(float, value)) if fits else value
    if origin is int:
        return isinstance(value, int) and not isinstance(value, bool), value
    if origin in (bool, str):
        return isinstance(value, typing.cast(type, origin)), value
    if origin is types.NoneType:
        return value is None, value
    if origin is tuple:
        return _fit_tuple(value, annotation)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping), value
    return True, value


def _fit_tuple(value: object, annotation: object) -> tuple[bool, object]:
    """A TOML array as a homogeneous ``tuple[X, ...]``."""
    if not isinstance(value, (list, tuple)):
        return False, value
    arguments = typing.get_args(annotation)
    if not arguments:
        return True, tuple(value)
    fitted = [_fit(entry, arguments[0]) for entry in value]
    return all(fits for fits, _ in fitted), tuple(entry for _, entry in fitted)


def _is_union(annotation: object) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _type_name(annotation: object) -> str:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}
    origin = typing.get_origin(annotation) or annotation
    if origin is tuple:
        inner = typing.get_args(annotation)
        return f"an array, each entry {_type_name(inner[0])}" if inner else "an array"
    if isinstance(origin, type):
        return names.get(origin, "a table" if issubclass(origin, Mapping) else origin.__name__)
    return str(annotation)
