"""Names of old: `FullWATClient` was `temp.TempCPUWorker` first."""

from .core import FullWATClient as TempCPUWorker

__all__ = ["TempCPUWorker"]
