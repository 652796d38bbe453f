"""What every client knows of its worker."""

from __future__ import annotations

from . import _native


class Known:
    """A worker that a tracker has taken in."""

    _native: _native.Worker

    @property
    def url(self) -> str:
        """The tracker's address, with a slash at its end."""
        return self._native.url

    @property
    def nickname(self) -> str:
        """Whom the work is counted for."""
        return self._native.nickname

    @property
    def token(self) -> str:
        """The worker's secret."""
        return self._native.token

    @property
    def display_name(self) -> str:
        """The name that the tracker gave this worker, such as `quiet-lynx-042`."""
        return self._native.display_name


class Brings(Known):
    """One of Crawling@Home's, which brings what it makes somewhere."""

    @property
    def upload_address(self) -> str:
        """Where results are brought: any text, such as a URL that takes a `PUT`."""
        return self._native.upload_address or ""
