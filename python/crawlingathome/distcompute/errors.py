"""What can go wrong, by the names of DistCompute's client: the exceptions of
`crawlingathome.errors`."""

from ..errors import (
    DumpError,
    InvalidURLError,
    ServerError,
    WorkerTimedOutError,
    ZeroJobError,
)

__all__ = ["DumpError", "InvalidURLError", "ServerError", "WorkerTimedOutError", "ZeroJobError"]
