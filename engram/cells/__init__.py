"""Recurrent cells, one a file, and how their parameters begin."""

from engram.cells.amrl import AMRL as AMRL
from engram.cells.chain import Chain as Chain
from engram.cells.chain import Stateless as Stateless
from engram.cells.elman import Elman as Elman
from engram.cells.elstm import ELSTM as ELSTM
from engram.cells.gated import Gated as Gated
from engram.cells.gates import AbstractGatedCell as AbstractGatedCell
from engram.cells.gru import GRU as GRU
from engram.cells.gru import ReLUGRU as ReLUGRU
from engram.cells.gtrxl import GTrXL as GTrXL
from engram.cells.initialisers import Chrono as Chrono
from engram.cells.initialisers import ChronoUnknown as ChronoUnknown
from engram.cells.initialisers import Forget as Forget
from engram.cells.initialisers import Normal as Normal
from engram.cells.initialisers import Orthogonal as Orthogonal
from engram.cells.initialisers import Uniform as Uniform
from engram.cells.initialisers import Xavier as Xavier
from engram.cells.leaky import Leaky as Leaky
from engram.cells.lru import LRU as LRU
from engram.cells.lstm import LSTM as LSTM
from engram.cells.min_gru import MinGRU as MinGRU
from engram.cells.parallel import Parallel as Parallel
from engram.cells.rtu import RTU as RTU
from engram.cells.rtu import NonlinearRTU as NonlinearRTU
from engram.cells.srnn import SRNN as SRNN
from engram.cells.weight_norm import WeightNorm as WeightNorm
