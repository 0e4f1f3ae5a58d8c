"""What every room uses: random numbers, batching, optimisers, returns, quantiles, distributions, schedules."""
