"""Encoders, which map an observation of a space to a vector of features."""

from farback.encoders.base import features_size as features_size
from farback.encoders.conv import Conv as Conv
from farback.encoders.dict_encoder import DictEncoder as DictEncoder
from farback.encoders.flatten import Flatten as Flatten
from farback.encoders.mlp import MLP as MLP
from farback.encoders.nature_conv import NatureConv as NatureConv
from farback.encoders.normalize import Normalize as Normalize
