"""Episodes that an agent plays."""

from typing import Any

from jaxtyping import Array, PRNGKeyArray, PyTree

from engram.agents.distributions import distribution
from engram.cell import AbstractCell
from engram.envs import AbstractEnv, Recalled
from engram.envs.base import Play, State
from engram.envs.spaces import flat
from engram.objectives.episodes import known_steps
from engram.objectives.play import AbstractPlay, checked_gamma


class AgentPlay(AbstractPlay):
    """Episodes of an environment as a model plays it, drawing its actions; asked is the return from a step on, as of
    `AbstractPlay`.

    Where it acts on what a memory holds, in a `Recalled` environment, what is seen is what the memory saw.

    **Arguments:**

    - `world`: the environment that it acts in.
    - `model`: of `actor_critic`, or any cell that puts out `(policy, [value])`.
    - `steps`: after which an episode is broken off; by default those of the longest one, where the environment says so.
    - `gamma`: γ.
    """

    world: AbstractEnv
    env: AbstractEnv
    model: AbstractCell
    steps: int
    gamma: float

    def __init__(self, world: AbstractEnv, model: AbstractCell, steps: int | None = None, gamma: float = 0.0):
        self.world, self.env, self.model = world, world.env if isinstance(world, Recalled) else world, model
        self.steps, self.gamma = known_steps(steps, world.steps, world), checked_gamma(gamma)

    @property
    def acted(self) -> AbstractEnv:
        return self.world

    def mind(self) -> PyTree[Array]:
        return self.model.initial()

    def choose(self, mind: PyTree[Array], play: Play, key: PRNGKeyArray) -> tuple[PyTree[Array], Any]:
        seen = flat(self.world.observation_space, self.world.observe(play.state))
        mind, (policy, _) = self.model(mind, seen)
        return mind, distribution(self.world.action_space, policy).sample(key)

    def within(self, state: State) -> State:
        return state.state if isinstance(self.world, Recalled) else state
