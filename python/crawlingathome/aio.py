"""The client for asyncio."""

from __future__ import annotations

import asyncio
from asyncio import get_running_loop
from typing import Any, AsyncIterator, Generator, Optional, Type, Union

from . import _native
from ._known import Brings
from ._settings import ANONYMOUS, DEFAULT_URL, Settings, worker_type
from ._telling import tell
from .core import Client
from .errors import CrawlingAtHomeError, ServerError, ZeroJobError
from .jobs import HELD_BACK, AsyncJob

__all__ = ["AsyncClient"]


class _Connecting:
    """An introduction under way: to be awaited, or entered with `async with`, which says bye."""

    def __init__(self, url: str, nickname: str, worker_type: str, settings: Settings) -> None:
        self._arguments = (url, nickname, worker_type, settings)
        self._client: Optional[AsyncClient] = None

    def __await__(self) -> Generator[Any, None, AsyncClient]:
        return self._introduce().__await__()

    async def _introduce(self) -> AsyncClient:
        url, nickname, worker_type, settings = self._arguments
        native = await _native.Worker.connect(
            url, nickname, worker_type, settings.patience, loop=get_running_loop()
        )
        return AsyncClient(native, worker_type, settings)

    async def __aenter__(self) -> AsyncClient:
        self._client = await self._introduce()
        return self._client

    async def __aexit__(self, *_: object) -> None:
        if self._client is not None:
            await self._client.bye()


class AsyncClient(Brings):
    """A worker of a tracker, for asyncio::

        async with cah.AsyncClient.connect("http://127.0.0.1:8080", "ada", "CPU") as client:
            async for job in client.jobs():
                await job.download("work")
                ...
                await job.complete(await job.upload("work/images.tar"))

    `connect` makes one; `await AsyncClient.connect(...)` is one without goodbye at the end.
    """

    def __init__(self, native: _native.Worker, type: str, settings: Settings) -> None:
        self._native = native
        self._settings = settings
        self.type = type

    @classmethod
    def connect(
        cls,
        url: str = DEFAULT_URL,
        nickname: Optional[str] = None,
        type: Union[str, Type[Client[Any]]] = "HYBRID",
        *,
        settings: Settings = Settings(),
    ) -> _Connecting:
        """Introduces a new worker to the tracker; the arguments are `init`'s."""
        return _Connecting(url, nickname or ANONYMOUS, worker_type(type), settings)

    async def job_count(self) -> int:
        """Answers how many jobs are open for such a worker."""
        return await self._native.job_count(loop=get_running_loop())

    async def new_job(self) -> AsyncJob:
        """Leases a job; one that is still held counts as failed, and is tried later. Raises
        `ZeroJobError` when none is open."""
        fields = await self._native.new_job(loop=get_running_loop())
        return AsyncJob(self._native, self._settings, fields)

    async def jobs(self, wait: Optional[float] = None) -> AsyncIterator[AsyncJob]:
        """Gives one job after the other until none is open; with `wait`, asks again after so many
        seconds instead. See `Client.jobs`."""
        try:
            while True:
                try:
                    job = await self.new_job()
                except ZeroJobError:
                    if wait is None and await self.job_count() == 0:
                        return
                    await asyncio.sleep(HELD_BACK if wait is None else wait)
                else:
                    yield job
        finally:
            await self._native.give_back(loop=get_running_loop())

    async def log(self, progress: str) -> None:
        """Tells the tracker what the worker is doing; one that is away is not waited for."""
        try:
            await self._native.log(str(progress), loop=get_running_loop())
        except ServerError as error:
            tell(f"progress was not told: {error}")

    async def is_alive(self) -> bool:
        """Answers whether the tracker still knows this worker."""
        return await self._native.is_alive(loop=get_running_loop())

    async def update_upload_address(self) -> str:
        """Asks the tracker where to bring results from now on."""
        return await self._native.update_upload_address(loop=get_running_loop()) or ""

    async def bye(self) -> None:
        """Leaves the tracker, which re-opens the job."""
        try:
            await self._native.bye(loop=get_running_loop())
        except CrawlingAtHomeError as error:
            tell(f"the tracker heard no goodbye: {error}")

    def __repr__(self) -> str:
        return f"<AsyncClient {self.type} {self.display_name} of {self.url}>"
