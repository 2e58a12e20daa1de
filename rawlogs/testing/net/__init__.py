"""The fake server's connections: bytes, HTTP and WebSocket, and the ways in which they can fail."""
