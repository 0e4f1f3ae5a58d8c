"""Replay buffers of the steps of environments."""

from farback.replay.prioritized import PrioritizedReplay as PrioritizedReplay
from farback.replay.prioritized import importance_weights as importance_weights
from farback.replay.replay import Replay as Replay
from farback.replay.replay import WindowIndices as WindowIndices
from farback.replay.replay import device_bytes as device_bytes
from farback.replay.replay import replay_bytes as replay_bytes
