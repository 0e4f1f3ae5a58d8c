"""Supervised sequences and endless streams, one task a file."""

from engram.tasks.an_bn import AnBn as AnBn
from engram.tasks.base import AbstractTask as AbstractTask
from engram.tasks.brackets import Brackets as Brackets
from engram.tasks.influence import InfluenceBalancing as InfluenceBalancing
from engram.tasks.pixels import Pixels as Pixels
from engram.tasks.recall import Recall as Recall
from engram.tasks.text import Text as Text
