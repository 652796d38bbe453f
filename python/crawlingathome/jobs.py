"""Jobs as objects, for `for job in client.jobs():`."""

from __future__ import annotations

import operator
import os
from asyncio import get_running_loop
from pathlib import Path
from typing import SupportsIndex, Tuple, Union

from . import _native
from ._settings import Settings
from ._telling import tell
from .errors import RequestError, ServerError

__all__ = ["AsyncJob", "CPUJob", "GPUJob", "HybridJob", "Job"]

# Seconds before a worker asks again that gets no job although some are open: others were quicker, or
# the tracker holds it back.
HELD_BACK = 5.0

AnyPath = Union[str, "os.PathLike[str]"]


def number_of_pairs(count: SupportsIndex) -> int:
    """The number of pairs as the tracker takes it: any kind of whole number."""
    try:
        number = operator.index(count)
    except TypeError:
        # Some scripts add it up in floating point.
        if not (isinstance(count, float) and count.is_integer()):
            raise RequestError(f"a number of pairs is a whole number, not {count!r}") from None
        number = int(count)
    if not 0 <= number < 1 << 64:
        raise RequestError(f"{number} is no number of pairs")
    return number


class Job:
    """A shard that a worker holds.

    Attributes:
        number: the shard's number in the project, from 1.
        url: where its WAT file is; for a GPU worker what the CPU worker handed over.
        start_id: the first sample id of the WAT file's chunk.
        end_id: the first sample id after it, a million more.
        piece: which half of the WAT file, 0 or 1.
    """

    number: int
    url: str
    start_id: int
    end_id: int
    piece: int

    def __init__(
        self,
        native: _native.Worker,
        settings: Settings,
        fields: Tuple[int, str, int, int, int],
    ) -> None:
        self._native = native
        self._settings = settings
        self.number, self.url, self.start_id, self.end_id, self.piece = fields

    @property
    def is_done(self) -> bool:
        """Whether it is not held any more: completed, flagged, failed or given back."""
        held = self._native.job
        return held is None or held[0] != self.number

    def __repr__(self) -> str:
        state = ", done" if self.is_done else ""
        return f"<{type(self).__name__} {self.number}: half {self.piece} of {self.url}{state}>"


class _BlockingJob(Job):
    def log(self, progress: str) -> None:
        """Tells the tracker how far the job is; one that is away is not waited for, and hears the
        line with the next sign of life."""
        try:
            self._native.log(str(progress))
        except ServerError as error:
            tell(f"progress was not told: {error}")

    def download(self, path: AnyPath = "", *, piece_only: bool = False) -> Path:
        """Downloads the shard into the folder `path`, as `downloadShard` of the client does, and
        answers where it lies: the WAT file, or for a GPU worker the folder.

        Raises `InvalidURLError` where a GPU worker's shard cannot be used, which `flag_invalid`
        tells the tracker.
        """
        return self._native.download_shard(
            os.fspath(path), piece_only, self._settings.allow_private_addresses
        )

    def fail(self, reason: str) -> None:
        """Gives the job back because it cannot be done, and tells why, so that it is tried later or
        looked at by a person."""
        self._native.fail(reason)

    def give_back(self) -> None:
        """Gives the job back for somebody else."""
        self._native.give_back()


class HybridJob(_BlockingJob):
    """A shard that goes the whole way from WAT to pairs."""

    def complete(self, pairs: SupportsIndex) -> None:
        """Completes the job with the number of pairs that were found."""
        self._native.complete_pairs(number_of_pairs(pairs))


class CPUJob(_BlockingJob):
    """A shard that goes from WAT to images."""

    def upload(self, file: AnyPath) -> str:
        """Brings a file to the worker's upload address; answers what to `complete` with."""
        return self._native.upload(os.fspath(file), self._settings.allow_private_addresses)

    def complete(self, url: str) -> None:
        """Hands the images over to GPU workers, which find them at `url`."""
        self._native.complete_text(url)


class GPUJob(_BlockingJob):
    """A shard whose images a CPU worker handed over."""

    def complete(self, pairs: SupportsIndex) -> None:
        """Completes the job with the number of pairs that were found."""
        self._native.complete_pairs(number_of_pairs(pairs))

    def flag_invalid(self) -> None:
        """Says that what was handed over cannot be used: the shard goes back to CPU workers."""
        self._native.flag_invalid()


class AsyncJob(Job):
    """A shard that an `AsyncClient` holds."""

    async def log(self, progress: str) -> None:
        """Tells the tracker how far the job is; one that is away is not waited for, and hears the
        line with the next sign of life."""
        try:
            await self._native.log(str(progress), loop=get_running_loop())
        except ServerError as error:
            tell(f"progress was not told: {error}")

    async def download(self, path: AnyPath = "", *, piece_only: bool = False) -> Path:
        """Downloads the shard into the folder `path`, as `downloadShard` of the client does, and
        answers where it lies: the WAT file, or for a GPU worker the folder.

        Raises `InvalidURLError` where a GPU worker's shard cannot be used, which `flag_invalid`
        tells the tracker.
        """
        allow = self._settings.allow_private_addresses
        return await self._native.download_shard(
            os.fspath(path), piece_only, allow, loop=get_running_loop()
        )

    async def upload(self, file: AnyPath) -> str:
        """Brings a file to a CPU worker's upload address; answers what to `complete` with."""
        allow = self._settings.allow_private_addresses
        return await self._native.upload(os.fspath(file), allow, loop=get_running_loop())

    async def complete(self, result: Union[SupportsIndex, str]) -> None:
        """Completes the job: with the number of pairs, or for a CPU worker with the URL under which
        GPU workers find the images."""
        if isinstance(result, str):
            await self._native.complete_text(result, loop=get_running_loop())
        else:
            pairs = number_of_pairs(result)
            await self._native.complete_pairs(pairs, loop=get_running_loop())

    async def flag_invalid(self) -> None:
        """Says that what was handed over to a GPU worker cannot be used."""
        await self._native.flag_invalid(loop=get_running_loop())

    async def fail(self, reason: str) -> None:
        """Gives the job back because it cannot be done, and tells why."""
        await self._native.fail(reason, loop=get_running_loop())

    async def give_back(self) -> None:
        """Gives the job back for somebody else."""
        await self._native.give_back(loop=get_running_loop())
