"""The reproductions, a folder a paper: presets as data, and the paper's numbers beside ours."""

from farback.papers import artbp, chrono, dau, memory_states, memup, off_policy, online, recurrent_pg, rl2, uoro, worlds

FIRST = {"uoro": uoro, "artbp": artbp, "chrono": chrono, "online": online}
SECOND = {"recurrent-pg": recurrent_pg, "rl2": rl2, "memup": memup}
THIRD = {"memory-states": memory_states, "off-policy": off_policy, "dau": dau, "worlds": worlds}
PAPERS = FIRST | SECOND | THIRD
