"""How a client is set up."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Optional, Tuple

from .errors import RequestError

DEFAULT_URL = "http://crawlingathome.duckdns.org/"
ANONYMOUS = "anonymous"

_TYPES = {"h": "HYBRID", "c": "CPU", "g": "GPU"}


@dataclass(frozen=True)
class Settings:
    """How patient a client is, and where it may go.

    Attributes:
        connect_deadline: seconds for which the first call tries to reach a tracker; `None` for ever.
        deadline: the same for each further call. A tracker that restarts costs its workers nothing
            but a while.
        heartbeat: the longest pause in seconds between two signs of life while a job is held; a
            tracker may ask for a shorter one.
        allow_private_addresses: whether shards are downloaded from private networks and from files
            of this machine. `None` allows it if the tracker itself is there.
    """

    connect_deadline: Optional[float] = 120.0
    deadline: Optional[float] = 7200.0
    heartbeat: float = 60.0
    allow_private_addresses: Optional[bool] = None

    @property
    def patience(self) -> Tuple[Optional[float], Optional[float], float]:
        """What the extension wants of it."""
        return (self.connect_deadline, self.deadline, self.heartbeat)


def worker_type(type: object) -> str:
    """The worker type that is meant: a text whose first letter counts, in any case, or a class with
    such a text as its `type`."""
    named = getattr(type, "type", None) if inspect.isclass(type) else type
    if isinstance(named, str) and named[:1].lower() in _TYPES:
        return _TYPES[named[:1].lower()]
    raise RequestError(f"there is no worker of type {type!r}; the types are HYBRID, CPU and GPU")
