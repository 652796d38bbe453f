"""Names of old: where `dump` and `load` were."""

from .core import dump, load

__all__ = ["dump", "load"]
