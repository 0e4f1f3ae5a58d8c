"""What every room uses: random numbers, batching, optimizers, returns, quantiles, distributions, schedules."""
