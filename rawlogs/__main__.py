"""``python -m rawlogs``."""

from rawlogs.cli import main

if __name__ == "__main__":
    main()
