"""Logs as OpenTelemetry's log records, for ``tail -o otel`` and ``rawlogs ship``."""
