"""Faults on purpose, with a publisher that logs each 202, clients that log each arrival, and a checker."""
