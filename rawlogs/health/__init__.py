"""Health and metrics of a command that runs for long: what probes ask, and what Prometheus scrapes."""
