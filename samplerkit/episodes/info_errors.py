"""What is wrong with infos, in sentences."""

from __future__ import annotations

from collections.abc import Container

from samplerkit.episodes.dtypes import DType


def refuse_clash(key: str, keys: Container[str], name: str) -> None:
    """Raise a ValueError where a key's mask would have the name of another key."""
    mask = f"_{key}"
    if mask in keys:
        raise ValueError(
            f"{name} has the keys {key!r} and {mask!r}, but {mask!r} is the name of the mask that says which "
            f"rows have {key!r}: rename one of the two."
        )


def mixed_shapes(path: str, one: tuple[int, ...], other: tuple[int, ...]) -> ValueError:
    """Return the error for a key whose values change their shape."""
    return ValueError(
        f"{path} has shape {one} in some rows and shape {other} in others, but all values of one key must "
        "have one shape: pad them, or put them under different keys."
    )


def mixed_dtypes(path: str, one: DType, other: DType) -> ValueError:
    """Return the error for a key whose values have dtypes with nothing in common."""
    return ValueError(
        f"{path} has dtype {_name(one)} in some rows and dtype {_name(other)} in others, which have no "
        "common dtype: give values of one kind, or put them under different keys."
    )


def _name(dtype: DType) -> str:
    """Return what to call a dtype; strings without their width, which is that of the rows beside them."""
    return {"U": "str", "S": "bytes"}.get(dtype.kind, str(dtype))


def mixed_with_dict(path: str) -> ValueError:
    """Return the error for a key that is sometimes a dict."""
    return ValueError(
        f"{path} is a dict in some rows and a value in others: give one of the two, or put them "
        "under different keys."
    )
