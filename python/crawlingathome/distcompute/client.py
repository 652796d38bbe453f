"""DistCompute's client, by the names of `distcompute_client` 1.0.0."""

from __future__ import annotations

import builtins
import json
import time
from typing import Any, Dict, Iterator, List, Optional, Tuple, Union

from .. import _native
from .._known import Known
from .._settings import ANONYMOUS, Settings
from .._telling import logger
from ..errors import CrawlingAtHomeError, RequestError, ServerError, ZeroJobError
from ..jobs import HELD_BACK

__all__ = ["Client", "init"]

# What is JSON travels as text behind this.
_JSON = "<!json!>"

Data = Union[str, List[Any], Dict[str, Any]]


class Client(Known):
    """A worker of one stage of a project, and the job that it holds.

    It may be used from several threads, and by a process that was forked. While it holds a job, it
    gives the tracker signs of life by itself. `with` says bye at the end.

    Attributes:
        job: what the job is about, text or what JSON means; `None` without a job.
        job_id: the job's number.
        stage: the stage's letter, `a` to `e`.
        verbose: whether what is done is printed; otherwise it goes to the logger `crawlingathome`.
    """

    def __init__(
        self,
        url: str,
        stage: str,
        nickname: str = ANONYMOUS,
        verbose: bool = True,
        *,
        settings: Settings = Settings(),
    ) -> None:
        self.stage = stage
        self.verbose = verbose
        self.job: Any = None
        self.job_id: Optional[int] = None
        self._tell("connecting to tracker...")
        self._native = _native.Worker.connect_stage(url, nickname, stage, settings.patience)
        for line in (
            f"joined project: {self.project}",
            f"worker name: {self.display_name}",
            f"its page: {self.url}/worker/{self.stage_name.lower()}/{self.display_name}",
        ):
            self._tell(f"{self.project} - {line}")

    def _tell(self, message: str) -> None:
        if self.verbose:
            builtins.print(f"[distcompute-client] - {message}")
        else:
            logger.info("%s", message)

    @property
    def url(self) -> str:
        """The tracker's address, without a slash at its end."""
        return self._native.url.rstrip("/")

    @property
    def project(self) -> str:
        """The name of the project."""
        return self._names[0]

    @property
    def stage_name(self) -> str:
        """The name of the stage."""
        return self._names[1]

    @property
    def _names(self) -> Tuple[str, str]:
        names = self._native.stage
        assert names is not None, "it was introduced as a stage's"
        return names

    def job_count(self) -> int:
        """Answers how many jobs wait at the stage."""
        count = self._native.job_count()
        self._tell(f"{self.project} - jobs remaining: {count}")
        return count

    def new_job(self) -> None:
        """Leases a job: `job` and `job_id`. Raises `ZeroJobError` when none is open."""
        self._tell(f"{self.project} - looking for new job...")
        self.job_id, text = self._native.new_job()
        self.job = json.loads(text[len(_JSON) :]) if text.startswith(_JSON) else text
        self._tell(f"{self.project} - received new job #{self.job_id}")

    def jobs(self) -> Iterator[Any]:
        """Gives what one job after the other is about, until none is open.

        A job that is not completed when the next one is wanted counts as failed, and is tried later;
        one that is not completed where the loop ends goes back for somebody else. A tracker lets a
        worker whose jobs fail one after the other wait for the next one, and so does this.
        """
        try:
            while True:
                try:
                    self.new_job()
                except ZeroJobError:
                    if self._native.job_count() == 0:
                        return
                    time.sleep(HELD_BACK)
                else:
                    yield self.job
        finally:
            self._native.give_back()
            self._forget()

    def complete_job(self, data: Data) -> None:
        """Completes the job with what was made of it: text, a list or a dictionary, which the next
        stage gets."""
        if isinstance(data, (dict, list)):
            text = _JSON + json.dumps(data)
        elif isinstance(data, str):
            text = data
        else:
            raise RequestError("data must be one of: str, list, dict")
        try:
            self._native.complete_text(text)
        finally:
            self._forget_what_is_over()
        self._tell(f"{self.project} - marked job as complete")

    def log(self, progress: str) -> None:
        """Tells the tracker how far the worker is; one that is away is not waited for."""
        try:
            self._native.log(str(progress))
        except ServerError as error:
            self._tell(f"{self.project} - progress was not told: {error}")
            return
        self._tell(f"{self.project} - logged new progress data: {progress}")

    def is_alive(self) -> bool:
        """Answers whether the tracker still knows this worker."""
        return self._native.is_alive()

    def flag_invalid_data(self) -> None:
        """Says that what the stage before made cannot be used; once enough workers did, the job goes
        back to it."""
        try:
            self._native.flag_invalid()
        finally:
            self._forget_what_is_over()

    def bye(self) -> None:
        """Leaves the tracker, which re-opens the job. A tracker that does not hear it, or does not
        care, is no error."""
        try:
            self._native.bye()
        except CrawlingAtHomeError as error:
            self._tell(f"{self.project} - the tracker heard no goodbye: {error}")
        self._forget()
        self._tell(f"{self.project} - closed worker")

    def _forget_what_is_over(self) -> None:
        """A job that the tracker did not hear of is held still, and may be told of again."""
        if self._native.job is None:
            self._forget()

    def _forget(self) -> None:
        self.job = self.job_id = None

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.bye()


def init(
    url: str,
    stage: str,
    nickname: str = ANONYMOUS,
    verbose: bool = True,
    *,
    settings: Settings = Settings(),
) -> Client:
    """Introduces a new worker of a stage to the tracker at `url`, and answers its client.

    Args:
        url: the tracker's address, such as `http://127.0.0.1:8080`.
        stage: the stage, `a` to `e`; of a longer text the first letter counts, in any case.
        nickname: the name on the leaderboard.
        verbose: whether what is done is printed.
        settings: how patient the client is.

    Raises `ValueError` for a stage that the project does not have.
    """
    if not stage:
        raise RequestError("a stage is one of the letters a to e")
    return Client(url, stage.lower()[0], nickname, verbose, settings=settings)
