"""``rawlogs ship``: the logs of a stream to an OTLP receiver, which has to acknowledge each of them."""
