"""Engram trains models and agents that remember longer than they can backpropagate.

Any recurrent cell × any way of sending credit through time × any task, chosen by one word each.
"""

from engram.cell import AbstractCell as AbstractCell
from engram.cells import AMRL as AMRL
from engram.cells import ELSTM as ELSTM
from engram.cells import GRU as GRU
from engram.cells import LRU as LRU
from engram.cells import LSTM as LSTM
from engram.cells import RTU as RTU
from engram.cells import SRNN as SRNN
from engram.cells import Chain as Chain
from engram.cells import Chrono as Chrono
from engram.cells import ChronoUnknown as ChronoUnknown
from engram.cells import Elman as Elman
from engram.cells import Forget as Forget
from engram.cells import Gated as Gated
from engram.cells import GTrXL as GTrXL
from engram.cells import Leaky as Leaky
from engram.cells import MinGRU as MinGRU
from engram.cells import NonlinearRTU as NonlinearRTU
from engram.cells import Normal as Normal
from engram.cells import Orthogonal as Orthogonal
from engram.cells import Parallel as Parallel
from engram.cells import Stateless as Stateless
from engram.cells import Uniform as Uniform
from engram.cells import WeightNorm as WeightNorm
from engram.cells import Xavier as Xavier
from engram.estimators import ARTBP as ARTBP
from engram.estimators import BPTT as BPTT
from engram.estimators import KFRTRL as KFRTRL
from engram.estimators import RFLO as RFLO
from engram.estimators import RTRL as RTRL
from engram.estimators import TBPTT as TBPTT
from engram.estimators import UORO as UORO
from engram.estimators import AbstractEstimator as AbstractEstimator
from engram.estimators import Sharded as Sharded
from engram.estimators import SnAp as SnAp
from engram.learner import Learner as Learner
from engram.learner import Learning as Learning
from engram.step import AbstractStep as AbstractStep
from engram.step import Supervised as Supervised
from engram.tasks import AbstractTask as AbstractTask
from engram.tasks import AnBn as AnBn
from engram.tasks import Recall as Recall
from engram.types import Carry as Carry
from engram.types import InputError as InputError
from engram.types import Outcome as Outcome
from engram.types import Tally as Tally
from engram.types import Window as Window
