"""Evolution strategies: policies that are learnt from returns, without gradients."""

from farback.evolution.action_network import ActionHead as ActionHead
from farback.evolution.action_network import ActionNetwork as ActionNetwork
from farback.evolution.action_network import ActionPolicy as ActionPolicy
from farback.evolution.base import AbstractEvolution as AbstractEvolution
from farback.evolution.cma_es import CMAES as CMAES
from farback.evolution.openai_es import OpenAIES as OpenAIES
