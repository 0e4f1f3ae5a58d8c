"""Runs: what is trained, the loop, checkpoints, the log."""
