"""The former place of ``rawlogs.cursor``."""

from __future__ import annotations

from rawlogs.cursor import LIMIT as LIMIT
from rawlogs.cursor import CursorFile as CursorFile
from rawlogs.cursor import Resume as Resume
from rawlogs.cursor import decode as decode
from rawlogs.cursor import encode as encode
from rawlogs.cursor import filter_digest as filter_digest
