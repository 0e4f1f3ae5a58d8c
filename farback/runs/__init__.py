"""Runs: configurations, compiled programs, the training loop, checkpoints, the log."""
