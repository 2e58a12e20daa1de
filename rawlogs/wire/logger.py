"""The loggers that the library gets: they never say what crosses the wire, for the first frame is the key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class _WithoutFrames(_Adapter):
    """Says what the library's own logger says, but for headers and frames, which it logs as DEBUG.

    Whatever level an application sets: it could not know that a library logs secrets.
    """

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)


WITHOUT_FRAMES = _WithoutFrames(logging.getLogger("websockets.client"), {})
SERVER_WITHOUT_FRAMES = _WithoutFrames(logging.getLogger("websockets.server"), {})
