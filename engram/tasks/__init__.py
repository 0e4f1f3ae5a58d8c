"""Supervised sequences and endless streams, one task a file."""

from engram.tasks.adding import Adding as Adding
from engram.tasks.an_bn import AnBn as AnBn
from engram.tasks.base import AbstractTask as AbstractTask
from engram.tasks.brackets import Brackets as Brackets
from engram.tasks.class_recall import ClassRecall as ClassRecall
from engram.tasks.copy import Copy as Copy
from engram.tasks.copying import AbstractCopy as AbstractCopy
from engram.tasks.influence import InfluenceBalancing as InfluenceBalancing
from engram.tasks.pixels import Pixels as Pixels
from engram.tasks.recall import Recall as Recall
from engram.tasks.scattered_copy import ScatteredCopy as ScatteredCopy
from engram.tasks.signalled_copy import SignalledCopy as SignalledCopy
from engram.tasks.text import Text as Text
from engram.tasks.variable_copy import VariableCopy as VariableCopy
from engram.tasks.warp import Warp as Warp
