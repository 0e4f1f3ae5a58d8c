"""Estimators on several devices."""

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from farback.cell import State
from farback.estimators.base import AbstractEstimator
from farback.ops.random import example_keys
from farback.step import AbstractStep, Model
from farback.types import Carry, InputError, Keys, Outcome, Window


class Sharded(AbstractEstimator):
    """An estimator whose batch is divided equally among devices. The gradients of the devices are averaged.

        g = 1/N Σ_i g_i,      g_i from the examples of device i

    The gradient equals that on one device up to the order of summation, for random estimators too, because each example
    has its own key. CPU cores count as devices after `jax.config.update("jax_num_cpu_devices", 2)`, which must come before
    any computation.

    **Arguments:**

    - `estimator`: the estimator of each device.
    - `devices`: the number of devices. It must divide the batch.
    """

    estimator: AbstractEstimator
    devices: int

    def __check_init__(self):
        if not 1 <= self.devices <= jax.device_count():
            raise InputError(
                f"Sharded(devices={self.devices}): there are {jax.device_count()} devices. To count CPU cores as devices, "
                f"call jax.config.update('jax_num_cpu_devices', {max(self.devices, 1)}) before any computation."
            )

    @property
    def random(self) -> bool:
        return self.estimator.random

    def init(self, step: AbstractStep, model: Model, window: Window, state: State | None = None) -> Carry:
        return self.estimator.init(step, model, window, state)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        batch = window.first.shape[0]
        if batch % self.devices:
            raise InputError(
                f"A batch of {batch} does not divide among {self.devices} devices: give a multiple of {self.devices}."
            )

        def part(carry, window, key):
            gradient, carry, outcome = self.estimator.gradient(step, model, carry, window, key)
            mean = jax.lax.pmean((gradient, outcome.loss), "batch")
            return mean, carry, jax.lax.psum(outcome.metrics, "batch")

        whole, share = PartitionSpec(), PartitionSpec("batch")
        (gradient, loss), carry, metrics = jax.shard_map(
            part,
            mesh=Mesh(np.array(jax.devices()[: self.devices]), ("batch",)),
            in_specs=(share, share, share),
            out_specs=(whole, share, whole),
            check_vma=False,
        )(carry, window, example_keys(key, batch))
        return gradient, carry, Outcome(loss, metrics)
