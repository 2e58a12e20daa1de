"""The name that ``rawlogs.relay.redis.source`` had in 0.1.0."""

from rawlogs.relay.redis.source import RedisSource as RedisSource
from rawlogs.relay.redis.source import source_from_environment as source_from_environment
