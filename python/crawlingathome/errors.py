"""What can go wrong, by the names of the client of old; all of it is a `CrawlingAtHomeError`.

Trouble with files of this machine, such as a full disk, is the `OSError` that Python has for it.
"""

__all__ = [
    "CrawlingAtHomeError",
    "DownloadError",
    "DumpError",
    "InvalidURLError",
    "RequestError",
    "ServerError",
    "UploadError",
    "WorkerTimedOutError",
    "ZeroJobError",
]


class CrawlingAtHomeError(Exception):
    """The base of all exceptions of this package."""


class RequestError(CrawlingAtHomeError, ValueError):
    """An argument that makes no sense: found here, or refused by the tracker (status 400).

    The client of old raised `ValueError`, which this is.
    """


class ServerError(CrawlingAtHomeError):
    """The tracker does not answer within the deadline, has a fault (status 5xx), or is no tracker."""


class ZeroJobError(CrawlingAtHomeError):
    """No job is open, or the job is not this worker's any more (status 403)."""


class WorkerTimedOutError(CrawlingAtHomeError):
    """The tracker does not know this worker any more (status 404): it was silent for too long, or
    said bye. `recreate()` introduces it anew."""


class DumpError(CrawlingAtHomeError):
    """Something that is no client cannot be dumped, or a dump is none of a worker's."""


class InvalidURLError(CrawlingAtHomeError):
    """What a CPU worker handed over cannot be used; the tracker has been told."""


class DownloadError(CrawlingAtHomeError):
    """A shard cannot be downloaded: its server does not answer, refuses, or sends what is no WAT
    file."""


class UploadError(CrawlingAtHomeError):
    """A file cannot be brought to the upload address."""
