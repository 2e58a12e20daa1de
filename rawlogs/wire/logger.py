"""The logger that the library gets: it never says what crosses the wire, for the first frame is the key."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    _Adapter = logging.LoggerAdapter[logging.Logger]
else:
    _Adapter = logging.LoggerAdapter


class _WithoutFrames(_Adapter):
    """Says what ``websockets.client`` says, but for headers and frames, which the library logs as DEBUG."""

    def isEnabledFor(self, level: int) -> bool:
        return level > logging.DEBUG and super().isEnabledFor(level)


WITHOUT_FRAMES = _WithoutFrames(logging.getLogger("websockets.client"), {})
"""Whatever level an application sets: it could not know that a library logs secrets."""
