"""The clients, with the names of the client of old (version 1.5.0) and newer ones beside them."""

from __future__ import annotations

import json
import os
import time
from typing import (
    TYPE_CHECKING,
    Any,
    Dict,
    Generic,
    Iterator,
    List,
    Literal,
    Mapping,
    Optional,
    SupportsIndex,
    Tuple,
    Type,
    TypeVar,
    Union,
    overload,
)

from . import _native
from ._known import Brings
from ._settings import ANONYMOUS, DEFAULT_URL, Settings, worker_type
from ._telling import tell
from .errors import (
    CrawlingAtHomeError,
    DumpError,
    InvalidURLError,
    RequestError,
    ServerError,
    WorkerTimedOutError,
    ZeroJobError,
)
from .jobs import HELD_BACK, AnyPath, CPUJob, GPUJob, HybridJob, number_of_pairs

if TYPE_CHECKING:
    import numpy as np

__all__ = [
    "CPUClient",
    "Client",
    "FullWATClient",
    "GPUClient",
    "HybridClient",
    "dump",
    "init",
    "load",
    "print",
]

AnyJob = TypeVar("AnyJob", HybridJob, CPUJob, GPUJob)
Self = TypeVar("Self", bound="Client[Any]")


def print(message: object) -> None:
    """Tells `message` as the client tells its own: at INFO of the logger `crawlingathome`, or on
    stderr where the program has not set logging up."""
    tell(message)


class Client(Brings, Generic[AnyJob]):
    """A worker of a tracker, and the job that it holds.

    It may be used from several threads, and by a process that was forked. While it holds a job, it
    gives the tracker signs of life by itself. `with` says bye at the end::

        with cah.init(url="http://127.0.0.1:8080", nickname="ada") as client:
            for job in client.jobs():
                ...

    Attributes:
        shard: the URL of the job's WAT file, or for a GPU worker what the CPU worker handed over;
            `None` before the first job, as are the next three.
        start_id: the first sample id of the WAT file's chunk.
        end_id: the first sample id after it, a million more.
        shard_piece: which half of the WAT file, 0 or 1.
    """

    type: str = ""
    _job_class: Any

    shard: Optional[str]
    start_id: Optional["np.int64"]
    end_id: Optional["np.int64"]
    shard_piece: Optional[int]

    def __init__(
        self,
        url: str = DEFAULT_URL,
        nickname: Optional[str] = None,
        *,
        settings: Settings = Settings(),
    ) -> None:
        tell("connecting to crawling@home server...")
        native = self._introduce(url, nickname or ANONYMOUS, settings)
        self._begin(native, settings)
        tell("connected to crawling@home server")
        self._tell_name()

    @classmethod
    def _introduce(cls, url: str, nickname: str, settings: Settings) -> _native.Worker:
        return _native.Worker.connect(url, nickname, cls.type, settings.patience)

    @classmethod
    def _loaded(cls: Type[Self], dumped: Dict[str, Any], settings: Settings) -> Self:
        client = cls.__new__(cls)
        client._begin(_native.Worker.load(_wire(dumped), settings.patience), settings)
        job = client._native.job
        if job is not None:
            client._job(job)
        return client

    def _begin(self, native: _native.Worker, settings: Settings) -> None:
        self._native = native
        self._settings = settings
        self.shard = self.start_id = self.end_id = self.shard_piece = None

    def _tell_name(self) -> None:
        tell(f"worker name: {self.display_name}")
        page = f"{self.url}worker/{self.type.lower()}/{self.display_name}"
        tell(f"You can view this worker's progress at {page}")

    # Jobs.

    def jobCount(self) -> int:
        """Answers how many jobs are open for such a worker."""
        count = self._native.job_count()
        tell(f"jobs remaining: {count:,}")
        return count

    def newJob(self) -> None:
        """Asks the tracker for a job; one that is still held counts as failed, and is tried later.

        Raises `ZeroJobError` when none is open.
        """
        self._new_job()

    def _new_job(self) -> AnyJob:
        tell("looking for new job...")
        job = self._job(self._native.new_job())
        tell(f"received job {job.number}")
        return job

    def _job(self, fields: Tuple[int, str, int, int, int]) -> AnyJob:
        import numpy as np  # only workers with a job need it, and it is slow to import

        job: AnyJob = self._job_class(self._native, self._settings, fields)
        self.shard, self.shard_piece = job.url, job.piece
        self.start_id, self.end_id = np.int64(job.start_id), np.int64(job.end_id)
        return job

    def jobs(self, wait: Optional[float] = None) -> Iterator[AnyJob]:
        """Gives one job after the other until none is open; with `wait`, asks again after so many
        seconds instead.

        A job that is not done when the next one is wanted counts as failed, and is tried later; one
        that is not done where the loop ends goes back for somebody else. A tracker lets a worker
        whose jobs fail one after the other wait for the next one, and so does this.
        """
        try:
            while True:
                try:
                    job = self._new_job()
                except ZeroJobError:
                    if wait is None and self._native.job_count() == 0:
                        return
                    time.sleep(HELD_BACK if wait is None else wait)
                else:
                    yield job
        finally:
            self._native.give_back()

    def downloadShard(self, path: AnyPath = "", *, piece_only: bool = False) -> None:
        """Downloads the job's WAT file into the folder `path` as `shard.wat`, inflated.

        The folder is created if missing. A transfer that breaks is taken up where it stopped, and
        the file gets its name once it is whole. `piece_only` writes the shard's half alone.

        Raises `DownloadError`, or `OSError` where the file cannot be written.
        """
        self._download(path, piece_only)

    def _download(self, path: AnyPath, piece_only: bool) -> None:
        tell("downloading shard...")
        self.log("Downloading shard", noprint=True)
        allow = self._settings.allow_private_addresses
        self._native.download_shard(os.fspath(path), piece_only, allow)
        self.log("Downloaded shard", noprint=True)
        tell("finished downloading shard")

    def log(self, progress: str, crashed: bool = False, noprint: bool = False) -> None:
        """Tells the tracker, and so the dashboard, how far the worker is.

        A tracker that is away is not waited for: while a job is held, it hears the line with the
        next sign of life. `crashed` hides whatever goes wrong, `noprint` the line here.
        """
        try:
            self._native.log(str(progress))
        except ServerError as error:
            if not crashed:
                tell(f"progress was not told: {error}")
            return
        except CrawlingAtHomeError:
            if crashed:
                return
            raise
        if not crashed and not noprint:
            tell(f"logged new progress data: {progress}")

    def isAlive(self) -> bool:
        """Answers whether the tracker still knows this worker."""
        return self._native.is_alive()

    # The worker itself.

    def dump(self) -> Dict[str, Any]:
        """The worker and its job as a dictionary for `load`; whoever has it is the worker."""
        dumped: Dict[str, Any] = json.loads(self._native.dump())
        return dumped

    def recreate(self) -> None:
        """Introduces the worker anew: with another token, display name and upload address, and
        without a job."""
        tell("recreating client instance...")
        self._native = self._introduce(self.url, self.nickname, self._settings)
        self._tell_name()

    def updateUploadServer(self) -> None:
        """Asks the tracker where to bring results from now on: `upload_address`."""
        self._native.update_upload_address()
        tell("updated upload server address")

    def bye(self) -> None:
        """Leaves the tracker, which re-opens the job. A tracker that does not hear it, or does not
        care, is no error."""
        try:
            self._native.bye()
        except CrawlingAtHomeError as error:
            tell(f"the tracker heard no goodbye: {error}")
        tell("closed worker")

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.bye()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.display_name} of {self.url}>"

    def __reduce__(self) -> Tuple[Any, ...]:
        """For `pickle`, and so for `multiprocessing`: the same worker with the same job."""
        return (type(self)._loaded, (self.dump(), self._settings))

    job_count = jobCount
    new_job = newJob
    download_shard = downloadShard
    is_alive = isAlive
    update_upload_server = updateUploadServer


class _CountsPairs(Client[AnyJob]):
    """What hybrid and GPU workers have in common: they complete jobs with a number of pairs."""

    def completeJob(self, total_scraped: SupportsIndex) -> None:
        """Completes the job with the number of pairs that were found. Tried until the tracker
        answers; one that is repeated counts once."""
        self._native.complete_pairs(number_of_pairs(total_scraped))
        tell("marked job as done")

    complete_job = completeJob


class HybridClient(_CountsPairs[HybridJob]):
    """A worker that takes shards the whole way from WAT to pairs. See `Client`."""

    type = "HYBRID"
    _job_class = HybridJob

    def _markjobasdone(self, total_scraped: SupportsIndex) -> None:
        """`completeJob` by its name of old."""
        tell("WARNING: _markjobasdone(...) will be removed; use completeJob(...) instead")
        self.completeJob(total_scraped)


class CPUClient(Client[CPUJob]):
    """A worker that takes shards from WAT to images, for GPU workers. See `Client`."""

    type = "CPU"
    _job_class = CPUJob

    def completeJob(self, image_download_url: str) -> None:
        """Hands the job's images over to GPU workers, which find them at this URL: any text that
        they understand. Tried until the tracker answers."""
        self._native.complete_text(image_download_url)
        tell("marked job as done")

    def upload(self, file: AnyPath) -> str:
        """Brings a file to `upload_address`; answers what to call `completeJob` with."""
        return self._native.upload(os.fspath(file), self._settings.allow_private_addresses)

    complete_job = completeJob


class GPUClient(_CountsPairs[GPUJob]):
    """A worker that takes images, which CPU workers handed over, to pairs. See `Client`."""

    type = "GPU"
    _job_class = GPUJob

    def downloadShard(self, path: AnyPath = "", *, piece_only: bool = False) -> None:
        """Downloads the tar that the CPU worker handed over and extracts it into the folder `path`,
        which is created if missing.

        Raises `InvalidURLError`, after the tracker was told, where it cannot be used; `DownloadError`
        where its server does not answer, and `OSError` where the files cannot be written.
        `piece_only` means nothing here: what is handed over is of one shard.
        """
        try:
            self._download(path, piece_only)
        except InvalidURLError as error:
            self._flag(str(error))

    def invalidURL(self) -> None:
        """Tells the tracker that the job's URL cannot be used, which sends the shard back to CPU
        workers; then raises `InvalidURLError`."""
        self._flag(f"{self.shard} was flagged as invalid")

    def _flag(self, why: str) -> None:
        try:
            self._native.flag_invalid()
            tell("flagged url as invalid")
        except CrawlingAtHomeError as error:
            tell(f"the url could not be flagged: {error}")
        raise InvalidURLError(why)

    download_shard = downloadShard
    invalid_url = invalidURL


class FullWATClient(Client[CPUJob]):
    """A worker that takes whole WAT files from WAT to images, both shards at once. Nobody holds such
    a file: another worker may hand its shards in first. See `Client`.

    Attributes:
        wat: the URL of the WAT file; `None` without one.
        shards: its shards, `[[number, {"url", "start_id", "end_id", "shard"}], ...]`.
        completed: how many shards this worker has handed over.
    """

    type = "CPU"
    _job_class = CPUJob

    wat: Optional[str]
    shards: Optional[List[Tuple[int, Dict[str, Any]]]]

    def _begin(self, native: _native.Worker, settings: Settings) -> None:
        super()._begin(native, settings)
        self.wat = self.shards = None
        self.completed: int = 0

    def newJob(self) -> None:
        """Asks for a WAT file whose shards are both open: `wat` and `shards`.

        Raises `ZeroJobError` when there is none.
        """
        self.wat, shards = self._native.next_wat()
        self.shards = json.loads(shards)
        self.log("Received new jobs", noprint=True)

    def downloadWat(self, path: AnyPath = "") -> None:
        """Downloads the WAT file into the folder `path` as `shard.wat`; see `downloadShard`."""
        tell("downloading shard...")
        self.log("Downloading WAT", noprint=True)
        allow = self._settings.allow_private_addresses
        self._native.download_wat(self._held(), os.fspath(path), allow)
        self.log("Downloaded WAT", noprint=True)
        tell("finished downloading shard")

    def downloadShard(self, path: AnyPath = "", *, piece_only: bool = False) -> None:
        """`downloadWat`: there is no half that is this worker's own."""
        if piece_only:
            raise RequestError("a FullWATClient works on both halves; leave piece_only out")
        self.downloadWat(path)

    def completeJob(self, urls: Mapping[Union[int, str], str]) -> None:
        """Hands the images of shards over to GPU workers: a URL by each shard's number."""
        by_number = {int(number): url for number, url in urls.items()}
        self.completed += self._native.complete_wat(self._held(), by_number)
        self.wat = self.shards = None
        self.log("Marked jobs as done", noprint=True)

    def log(self, progress: str, crashed: bool = False, noprint: bool = True) -> None:
        """Tells the tracker how far the worker is; one that it does not know any more is introduced
        anew."""
        try:
            super().log(progress, crashed, noprint)
        except WorkerTimedOutError:
            self.recreate()
            super().log(progress, crashed, noprint)

    def jobs(self, wait: Optional[float] = None) -> Iterator[CPUJob]:
        """There are none: `newJob` gives a WAT file, and no job is held."""
        raise RequestError("a FullWATClient takes whole files; use newJob() and completeJob()")

    def dump(self) -> Dict[str, Any]:
        """The worker and its WAT file as a dictionary for `load`."""
        files = {"_type": _FULL_WAT, "wat": self.wat, "shards": self.shards}
        return {**super().dump(), **files}

    @classmethod
    def _loaded(cls, dumped: Dict[str, Any], settings: Settings) -> FullWATClient:
        no_job = {"_type": cls.type, "shard": None, "wat": None, "shards": None}
        client = super()._loaded({**dumped, **no_job}, settings)
        client.wat, client.shards = dumped.get("wat"), dumped.get("shards")
        return client

    def _held(self) -> Tuple[str, str]:
        if self.wat is None:
            raise ZeroJobError("this worker has no WAT file; ask for one with newJob() first")
        return (self.wat, json.dumps(self.shards))

    complete_job = completeJob
    download_shard = downloadShard
    download_wat = downloadWat
    new_job = newJob


_FULL_WAT = "FULLWAT"

OneClient = TypeVar("OneClient", HybridClient, CPUClient, GPUClient)

_CLASSES: Dict[str, Type[Client[Any]]] = {
    "HYBRID": HybridClient,
    "CPU": CPUClient,
    "GPU": GPUClient,
}


@overload
def init(
    url: str = ..., nickname: Optional[str] = ..., *, settings: Settings = ...
) -> HybridClient: ...
@overload
def init(
    url: str = ...,
    nickname: Optional[str] = ...,
    type: Literal["HYBRID", "Hybrid", "hybrid"] = ...,
    *,
    settings: Settings = ...,
) -> HybridClient: ...
@overload
def init(
    url: str = ...,
    nickname: Optional[str] = ...,
    *,
    type: Literal["CPU", "Cpu", "cpu"],
    settings: Settings = ...,
) -> CPUClient: ...
@overload
def init(
    url: str = ...,
    nickname: Optional[str] = ...,
    *,
    type: Literal["GPU", "Gpu", "gpu"],
    settings: Settings = ...,
) -> GPUClient: ...
@overload
def init(
    url: str = ...,
    nickname: Optional[str] = ...,
    *,
    type: Type[OneClient],
    settings: Settings = ...,
) -> OneClient: ...
@overload
def init(
    url: str = ...,
    nickname: Optional[str] = ...,
    type: Union[str, Type[Client[Any]]] = ...,
    *,
    settings: Settings = ...,
) -> Any: ...
def init(
    url: str = DEFAULT_URL,
    nickname: Optional[str] = None,
    type: Union[str, Type[Client[Any]]] = "HYBRID",
    *,
    settings: Settings = Settings(),
) -> Any:
    """Introduces a new worker to the tracker at `url`, and answers its client.

    Args:
        url: the tracker's address, such as `http://127.0.0.1:8080`.
        nickname: the name on the leaderboard.
        type: `"HYBRID"`, `"CPU"` or `"GPU"`, of which the first letter counts, in any case; or the
            class, such as `crawlingathome.core.CPUClient`.
        settings: how patient the client is, and where it may go.

    Raises `ValueError` for a type or an address that is none, and `ServerError` where no tracker
    answers.
    """
    client = _CLASSES[worker_type(type)]
    return client(url, nickname, settings=settings)


def dump(client: Any) -> Dict[str, Any]:
    """Dumps a client into a dictionary, from which `load(**dumped)` makes it again, perhaps in
    another program. It has the worker's secret.

    Raises `DumpError` for what is no client.
    """
    if not isinstance(client, Client):
        raise DumpError(f"{client!r} is no client, and cannot be dumped")
    return client.dump()


def load(*, settings: Settings = Settings(), **dumped: Any) -> Any:
    """Loads a client from what `dump` made of it, given as keyword arguments; dumps of the client of
    old are taken, too. The tracker is not asked.

    Raises `ValueError` for a type that there is not, and `DumpError` for half a dump.
    """
    named = str(dumped.get("_type")).upper()
    classes: Dict[str, Type[Client[Any]]] = {**_CLASSES, _FULL_WAT: FullWATClient}
    if named not in classes:
        raise RequestError(f"there is no worker of type {dumped.get('_type')!r} to be loaded")
    for key in ("url", "token"):
        if not isinstance(dumped.get(key), str):
            raise DumpError(f"the dump has no {key}")
    return classes[named]._loaded(dumped, settings)


def _wire(dumped: Dict[str, Any]) -> str:
    """A dump as the extension reads it. Ids may be of any kind of whole number."""
    ids = {key: dumped.get(key) for key in ("start_id", "end_id")}
    texts = {key: None if id is None else str(id) for key, id in ids.items()}
    nickname = dumped.get("nickname") or ANONYMOUS
    return json.dumps({**dumped, **texts, "nickname": nickname}, default=int)
