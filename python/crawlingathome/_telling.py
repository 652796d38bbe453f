"""What the client tells of its work."""

import logging
import sys
import time

logger = logging.getLogger("crawlingathome")


def tell(message: object) -> None:
    """Tells `message` at INFO of the logger `crawlingathome`; in a program that has not set logging
    up, on stderr as the client of old did."""
    relay(logging.INFO, str(message))


def relay(level: int, message: str) -> None:
    """The same at a level of `logging`."""
    if logger.level == logging.NOTSET and not logger.hasHandlers():
        sys.stderr.write(f"[{time.strftime('%H:%M')} crawling@home] {message}\n")
    else:
        logger.log(level, "%s", message)
