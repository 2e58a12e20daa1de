"""The names of other packages' helpers, over rawlogs."""
