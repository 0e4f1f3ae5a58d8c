"""Shared operations: random numbers, batching, optimizers, returns, quantiles, distributions, schedules."""
