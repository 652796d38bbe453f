"""Client library for Crawling@Home: lease shards of Common Crawl from a tracker, and report what was
found in them.

::

    import crawlingathome as cah

    client = cah.init(url="http://127.0.0.1:8080", nickname="ada", type="HYBRID")
    while client.jobCount() > 0 and client.isAlive():
        client.newJob()
        client.downloadShard()  # writes ./shard.wat
        ...
        client.completeJob(number_of_pairs)
    client.bye()

The names are those of the client of old, version 1.5.0, whose scripts run unchanged. Newer ones stand
beside them: `client.jobs()`, `AsyncClient`, and `with`. `crawlingathome.distcompute` has the workers of
other projects.
"""

from . import core, distcompute, errors
from ._native import VERSION as __version__
from ._settings import Settings
from .aio import AsyncClient
from .core import CPUClient, FullWATClient, GPUClient, HybridClient, dump, init, load, print
from .errors import (
    CrawlingAtHomeError,
    DownloadError,
    DumpError,
    InvalidURLError,
    RequestError,
    ServerError,
    UploadError,
    WorkerTimedOutError,
    ZeroJobError,
)
from .jobs import AsyncJob, CPUJob, GPUJob, HybridJob, Job

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "CPUClient",
    "CPUJob",
    "CrawlingAtHomeError",
    "DownloadError",
    "DumpError",
    "FullWATClient",
    "GPUClient",
    "GPUJob",
    "HybridClient",
    "HybridJob",
    "InvalidURLError",
    "Job",
    "RequestError",
    "ServerError",
    "Settings",
    "UploadError",
    "WorkerTimedOutError",
    "ZeroJobError",
    "__version__",
    "core",
    "distcompute",
    "dump",
    "errors",
    "init",
    "load",
    "print",
]
