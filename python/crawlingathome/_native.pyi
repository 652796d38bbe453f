"""The Rust client library; `crawlingathome` itself has the names for people.

A call blocks without `loop`, and answers an awaitable with it.
"""

from asyncio import AbstractEventLoop, Future
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, final, overload

__all__ = ["VERSION", "Worker"]

VERSION: str

# In seconds: for the first call, for each further one (None: for ever), between two signs of life.
_Patience = Tuple[Optional[float], Optional[float], float]

# Of Crawling@Home: number, url, start_id, end_id, piece. Of DistCompute: number, and the data as it
# travelled. Who asks knows which of them it is.
_Job = Any

# The URL of a whole WAT file, and its shards as a dump has them, in JSON.
_Wat = Tuple[str, str]

@final
class Worker:
    """One worker of a tracker, and the job that it holds."""

    @overload
    @staticmethod
    def connect(
        url: str, nickname: str, worker_type: str, patience: _Patience, loop: None = None
    ) -> Worker: ...
    @overload
    @staticmethod
    def connect(
        url: str, nickname: str, worker_type: str, patience: _Patience, loop: AbstractEventLoop
    ) -> Future[Worker]: ...
    @overload
    @staticmethod
    def connect_stage(
        url: str, nickname: str, stage: str, patience: _Patience, loop: None = None
    ) -> Worker: ...
    @overload
    @staticmethod
    def connect_stage(
        url: str, nickname: str, stage: str, patience: _Patience, loop: AbstractEventLoop
    ) -> Future[Worker]: ...
    @staticmethod
    def load(dump: str, patience: _Patience) -> Worker: ...
    def dump(self) -> str: ...
    @property
    def url(self) -> str: ...
    @property
    def token(self) -> str: ...
    @property
    def nickname(self) -> str: ...
    @property
    def display_name(self) -> str: ...
    @property
    def upload_address(self) -> Optional[str]: ...
    @property
    def stage(self) -> Optional[Tuple[str, str]]: ...
    @property
    def job(self) -> Optional[_Job]: ...
    @overload
    def job_count(self, loop: None = None) -> int: ...
    @overload
    def job_count(self, loop: AbstractEventLoop) -> Future[int]: ...
    @overload
    def new_job(self, loop: None = None) -> _Job: ...
    @overload
    def new_job(self, loop: AbstractEventLoop) -> Future[_Job]: ...
    @overload
    def complete_pairs(self, pairs: int, loop: None = None) -> None: ...
    @overload
    def complete_pairs(self, pairs: int, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def complete_text(self, text: str, loop: None = None) -> None: ...
    @overload
    def complete_text(self, text: str, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def flag_invalid(self, loop: None = None) -> None: ...
    @overload
    def flag_invalid(self, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def fail(self, reason: str, loop: None = None) -> None: ...
    @overload
    def fail(self, reason: str, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def give_back(self, loop: None = None) -> None: ...
    @overload
    def give_back(self, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def log(self, text: str, loop: None = None) -> None: ...
    @overload
    def log(self, text: str, loop: AbstractEventLoop) -> Future[None]: ...
    @overload
    def is_alive(self, loop: None = None) -> bool: ...
    @overload
    def is_alive(self, loop: AbstractEventLoop) -> Future[bool]: ...
    @overload
    def update_upload_address(self, loop: None = None) -> Optional[str]: ...
    @overload
    def update_upload_address(self, loop: AbstractEventLoop) -> Future[Optional[str]]: ...
    @overload
    def download_shard(
        self,
        folder: str,
        piece_only: bool,
        allow_private_addresses: Optional[bool],
        loop: None = None,
    ) -> Path: ...
    @overload
    def download_shard(
        self,
        folder: str,
        piece_only: bool,
        allow_private_addresses: Optional[bool],
        loop: AbstractEventLoop,
    ) -> Future[Path]: ...
    @overload
    def upload(
        self, file: str, allow_private_addresses: Optional[bool], loop: None = None
    ) -> str: ...
    @overload
    def upload(
        self, file: str, allow_private_addresses: Optional[bool], loop: AbstractEventLoop
    ) -> Future[str]: ...
    @overload
    def next_wat(self, loop: None = None) -> _Wat: ...
    @overload
    def next_wat(self, loop: AbstractEventLoop) -> Future[_Wat]: ...
    @overload
    def download_wat(
        self,
        wat: _Wat,
        folder: str,
        allow_private_addresses: Optional[bool],
        loop: None = None,
    ) -> Path: ...
    @overload
    def download_wat(
        self,
        wat: _Wat,
        folder: str,
        allow_private_addresses: Optional[bool],
        loop: AbstractEventLoop,
    ) -> Future[Path]: ...
    @overload
    def complete_wat(self, wat: _Wat, urls: Dict[int, str], loop: None = None) -> int: ...
    @overload
    def complete_wat(
        self, wat: _Wat, urls: Dict[int, str], loop: AbstractEventLoop
    ) -> Future[int]: ...
    @overload
    def bye(self, loop: None = None) -> None: ...
    @overload
    def bye(self, loop: AbstractEventLoop) -> Future[None]: ...
