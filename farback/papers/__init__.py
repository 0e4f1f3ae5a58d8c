"""The reproductions, a folder a paper: presets as data, and the paper's numbers beside ours."""

from farback.papers import artbp, chrono, memup, online, recurrent_pg, rl2, uoro

FIRST = {"uoro": uoro, "artbp": artbp, "chrono": chrono, "online": online}
PAPERS = FIRST | {"recurrent-pg": recurrent_pg, "rl2": rl2, "memup": memup}
