"""Recurrent cells, one a file, and how their parameters begin."""

from engram.cells.chain import Chain as Chain
from engram.cells.chain import Stateless as Stateless
from engram.cells.elman import Elman as Elman
from engram.cells.gated import Gated as Gated
from engram.cells.gru import GRU as GRU
from engram.cells.leaky import Leaky as Leaky
from engram.cells.lstm import LSTM as LSTM
from engram.cells.parallel import Parallel as Parallel
