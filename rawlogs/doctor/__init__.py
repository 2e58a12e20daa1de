"""Find out step by step whether logs can be had from a server: ``runner`` has the list of checks.

``network_checks`` (settings to TLS), ``rest_checks``, ``socket_checks`` and ``delivery_check`` look; ``rawlogs.advice``
says what a failure means; ``verdict`` is the closing line, ``report`` what is shown.
"""
