"""How a stream is doing: what it counts, how it stands, and the notices that it gives."""
