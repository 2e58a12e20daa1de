"""The modelled server without a socket: what it stores, whom it streams to, what it answers."""
