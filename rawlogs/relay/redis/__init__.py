"""The relay's store in Redis: who fills it (``relay``), who reads it (``source``), and the steps that both take."""
