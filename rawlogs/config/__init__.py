"""Where each setting comes from, in Prefect's own order, and how the API is reached."""
