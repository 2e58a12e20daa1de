"""What rawlogs costs and what it delivers, measured beside Prefect's own helper. See README.md in this folder."""
