"""Gradient estimators for recurrent networks, one per file."""

from farback.estimators.artbp import ARTBP as ARTBP
from farback.estimators.base import AbstractEstimator as AbstractEstimator
from farback.estimators.bptt import BPTT as BPTT
from farback.estimators.bptt import TBPTT as TBPTT
from farback.estimators.kf_rtrl import KFRTRL as KFRTRL
from farback.estimators.rflo import RFLO as RFLO
from farback.estimators.rtrl import RTRL as RTRL
from farback.estimators.sharded import Sharded as Sharded
from farback.estimators.snap import SnAp as SnAp
from farback.estimators.uoro import UORO as UORO
