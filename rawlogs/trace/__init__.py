"""One connection as it happens, every frame of both sides: ``script`` has what the client sends, ``session`` opens and
reads it, ``transcript`` hides secrets and counts, ``render`` shows it to people and programs.
"""
