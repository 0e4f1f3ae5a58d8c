"""Hand-designed policies for bandits and MDPs: baselines for learned agents."""

from farback.strategies.base import AbstractBelief as AbstractBelief
from farback.strategies.base import AbstractStrategy as AbstractStrategy
from farback.strategies.bayes import BayesOptimal as BayesOptimal
from farback.strategies.beb import BEB as BEB
from farback.strategies.directed import InformationDirected as InformationDirected
from farback.strategies.gittins import Gittins as Gittins
from farback.strategies.greedy import EpsilonGreedy as EpsilonGreedy
from farback.strategies.greedy import Greedy as Greedy
from farback.strategies.greedy import Random as Random
from farback.strategies.imitation import Imitation as Imitation
from farback.strategies.opsrl import OPSRL as OPSRL
from farback.strategies.oracle import Oracle as Oracle
from farback.strategies.policy import StrategyPolicy as StrategyPolicy
from farback.strategies.policy import score as score
from farback.strategies.thompson import LikeliestDraw as LikeliestDraw
from farback.strategies.thompson import OptimisticThompson as OptimisticThompson
from farback.strategies.thompson import Thompson as Thompson
from farback.strategies.ucb import KLUCB as KLUCB
from farback.strategies.ucb import UCB1 as UCB1
from farback.strategies.ucrl2 import UCRL2 as UCRL2
from farback.strategies.with_prior import WithPrior as WithPrior
from farback.strategies.world import World as World
from farback.strategies.world import plan as plan
