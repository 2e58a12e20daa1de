"""One conversation as it happens, every frame of both sides: ``script`` says what the client plays, ``conversation``
has it, ``transcript`` hides what is secret and keeps the account, ``picture`` shows it to people and programs.
"""
