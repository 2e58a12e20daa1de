"""What the parts of one stream share."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime

from rawlogs.clock import Clock
from rawlogs.delivery.ledger import Ledger
from rawlogs.delivery.schedule import Schedule
from rawlogs.options import Options
from rawlogs.status.notifier import Notifier
from rawlogs.status.stats import Stats
from rawlogs.subscription import Subscription


@dataclass(frozen=True, slots=True)
class StreamContext:
    """One of each for a stream; every part is given this instead of seven arguments."""

    options: Options
    subscription: Subscription
    notifier: Notifier
    ledger: Ledger
    schedule: Schedule
    stats: Stats
    clock: Clock
    rng: random.Random

    def now(self) -> datetime:
        """Return the server's time, as far as its answers have told it; without REST, the time of this machine."""
        rest = self.subscription.rest
        return rest.server_now() if rest is not None else self.clock.now()
