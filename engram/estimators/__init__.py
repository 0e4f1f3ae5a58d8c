"""Ways of sending credit through time, one a file."""

from engram.estimators.artbp import ARTBP as ARTBP
from engram.estimators.base import AbstractEstimator as AbstractEstimator
from engram.estimators.bptt import BPTT as BPTT
from engram.estimators.bptt import TBPTT as TBPTT
from engram.estimators.kf_rtrl import KFRTRL as KFRTRL
from engram.estimators.rflo import RFLO as RFLO
from engram.estimators.rtrl import RTRL as RTRL
from engram.estimators.sharded import Sharded as Sharded
from engram.estimators.snap import SnAp as SnAp
from engram.estimators.uoro import UORO as UORO
