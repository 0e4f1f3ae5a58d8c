"""Policies that people designed, to compare those that learn with."""

from engram.strategies.base import AbstractBelief as AbstractBelief
from engram.strategies.base import AbstractStrategy as AbstractStrategy
from engram.strategies.greedy import EpsilonGreedy as EpsilonGreedy
from engram.strategies.greedy import Greedy as Greedy
from engram.strategies.greedy import Random as Random
from engram.strategies.imitation import Imitation as Imitation
from engram.strategies.trial import score as score
