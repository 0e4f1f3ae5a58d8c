"""The batch of an estimator, laid over several devices."""

import jax
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from engram.estimators.base import AbstractEstimator, example_keys
from engram.step import AbstractStep, Model
from engram.types import Carry, InputError, Keys, Outcome, Window


class Sharded(AbstractEstimator):
    """Any estimator, with each device taking an equal part of the batch; the gradients are averaged.

        g = 1/N Σ_i g_i,      g_i from the examples of device i

    The same gradient as on one device, up to the order of summation; of random estimators too, for each example draws by a
    key of its own. CPU cores count as devices if asked for before anything else is computed:
    `jax.config.update("jax_num_cpu_devices", 2)`.

    **Arguments:**

    - `estimator`: what estimates the gradient of each part.
    - `devices`: their number; it must divide the batch.
    """

    estimator: AbstractEstimator
    devices: int

    def __check_init__(self):
        if not 1 <= self.devices <= jax.device_count():
            raise InputError(
                f"Sharded(devices={self.devices}): there are {jax.device_count()} devices. To count CPU cores as devices, "
                f"call jax.config.update('jax_num_cpu_devices', {max(self.devices, 1)}) before anything is computed."
            )

    @property
    def random(self) -> bool:
        return self.estimator.random

    def init(self, step: AbstractStep, model: Model, window: Window) -> Carry:
        return self.estimator.init(step, model, window)

    def gradient(
        self, step: AbstractStep, model: Model, carry: Carry, window: Window, key: Keys
    ) -> tuple[Model, Carry, Outcome]:
        batch = window.first.shape[0]
        if batch % self.devices:
            raise InputError(f"A batch of {batch} cannot be shared by {self.devices} devices: give a multiple of them.")

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
