"""Whether the fast ways are taken: through frames, logs and output. ``RAWLOGS_CAREFUL=1`` turns all of them off.

Each of them is only taken for what it can prove, and gives what the careful one gives. The switch is for those who
doubt that, and for the tests.
"""

from __future__ import annotations

import os


def fast() -> bool:
    """Return False where the environment asks for the careful ways."""
    return os.environ.get("RAWLOGS_CAREFUL", "") in ("", "0")
