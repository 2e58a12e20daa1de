"""All benchmarks, one after the other: `python -m benchmarks`."""

from __future__ import annotations

from benchmarks import delivery, fanout, speed, steady

if __name__ == "__main__":
    speed.main([])
    steady.main([])
    delivery.main([])
    fanout.main([])
