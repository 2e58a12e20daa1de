"""Logs to text, JSON or raw lines, and the lines to a file; flushed means delivered.

A format turns a log into bytes and knows no file; a sink writes bytes and knows no log.
"""
