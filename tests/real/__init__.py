"""Tests against real Prefect servers, which each test run starts and stops itself."""
