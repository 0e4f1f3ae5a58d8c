"""Algorithms that act and learn."""

from engram.agents.acting import Playing as Playing
from engram.agents.acting import Steps as Steps
from engram.agents.acting import begin as begin
from engram.agents.acting import rollout as rollout
from engram.agents.alternating import Alternating as Alternating
from engram.agents.base import AbstractAgent as AbstractAgent
from engram.agents.base import Acting as Acting
from engram.agents.base import Played as Played
from engram.agents.distributions import PolicyHead as PolicyHead
from engram.agents.distributions import distribution as distribution
from engram.agents.networks import actor_critic as actor_critic
from engram.agents.optimal_baseline import OptimalBaseline as OptimalBaseline
from engram.agents.play import AgentPlay as AgentPlay
from engram.agents.policy_gradient import AbstractPsi as AbstractPsi
from engram.agents.policy_gradient import Advantage as Advantage
from engram.agents.policy_gradient import Immediate as Immediate
from engram.agents.policy_gradient import LookAhead as LookAhead
from engram.agents.policy_gradient import PolicyGradient as PolicyGradient
from engram.agents.policy_gradient import ToGo as ToGo
from engram.agents.policy_gradient import Whole as Whole
from engram.agents.ppo import PPO as PPO
from engram.agents.ramp import Ramp as Ramp
from engram.agents.trpo import TRPO as TRPO
