"""Whether logs can be had from a server, found out step by step: ``examination`` is the list of checks.

``network_checks`` (settings to TLS), ``rest_checks``, ``socket_checks`` and ``arrival`` look; ``statuses`` and
``causes`` are the tables of what a failure means; ``verdict`` is the closing line, ``report`` what is shown.
"""
