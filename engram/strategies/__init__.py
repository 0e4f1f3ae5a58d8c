"""Policies that people designed, to compare those that learn with."""

from engram.strategies.base import AbstractBelief as AbstractBelief
from engram.strategies.base import AbstractStrategy as AbstractStrategy
from engram.strategies.bayes import BayesOptimal as BayesOptimal
from engram.strategies.beb import BEB as BEB
from engram.strategies.believing import Believing as Believing
from engram.strategies.directed import InformationDirected as InformationDirected
from engram.strategies.gittins import Gittins as Gittins
from engram.strategies.greedy import EpsilonGreedy as EpsilonGreedy
from engram.strategies.greedy import Greedy as Greedy
from engram.strategies.greedy import Random as Random
from engram.strategies.imitation import Imitation as Imitation
from engram.strategies.opsrl import OPSRL as OPSRL
from engram.strategies.oracle import Oracle as Oracle
from engram.strategies.thompson import LikeliestDraw as LikeliestDraw
from engram.strategies.thompson import OptimisticThompson as OptimisticThompson
from engram.strategies.thompson import Thompson as Thompson
from engram.strategies.trial import score as score
from engram.strategies.ucb import KLUCB as KLUCB
from engram.strategies.ucb import UCB1 as UCB1
from engram.strategies.ucrl2 import UCRL2 as UCRL2
from engram.strategies.world import World as World
from engram.strategies.world import plan as plan
