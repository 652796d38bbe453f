"""Names of old: where the version was."""

from ._native import VERSION

__all__ = ["VERSION"]
