"""Supervised tasks: episodes and endless streams, one task per file."""

from farback.tasks.adding import Adding as Adding
from farback.tasks.an_bn import AnBn as AnBn
from farback.tasks.base import AbstractTask as AbstractTask
from farback.tasks.brackets import Brackets as Brackets
from farback.tasks.copy import Copy as Copy
from farback.tasks.copying import AbstractCopy as AbstractCopy
from farback.tasks.influence import InfluenceBalancing as InfluenceBalancing
from farback.tasks.noisy_recall import NoisyRecall as NoisyRecall
from farback.tasks.pixels import Pixels as Pixels
from farback.tasks.recall import Recall as Recall
from farback.tasks.scattered_copy import ScatteredCopy as ScatteredCopy
from farback.tasks.signalled_copy import SignalledCopy as SignalledCopy
from farback.tasks.text import Text as Text
from farback.tasks.variable_copy import VariableCopy as VariableCopy
from farback.tasks.warp import Warp as Warp
