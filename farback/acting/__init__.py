"""Policies, and the only code that steps environments."""

from farback.acting.evaluate import EpisodeStatistics as EpisodeStatistics
from farback.acting.evaluate import evaluate as evaluate
from farback.acting.policy import AbstractPolicy as AbstractPolicy
from farback.acting.policy import CompiledPolicy as CompiledPolicy
from farback.acting.policy import RandomPolicy as RandomPolicy
from farback.acting.rollout import EnvStates as EnvStates
from farback.acting.rollout import Trajectory as Trajectory
from farback.acting.rollout import reset_envs as reset_envs
from farback.acting.rollout import rollout as rollout
from farback.acting.rollout import watch as watch
