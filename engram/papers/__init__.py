"""Papers, one a file: their runs, and their numbers beside ours."""

from engram.papers import artbp, chrono, memup, online, recurrent_pg, rl2, uoro

PAPERS = {
    "uoro": uoro,
    "artbp": artbp,
    "chrono": chrono,
    "online": online,
    "recurrent-pg": recurrent_pg,
    "rl2": rl2,
    "memup": memup,
}
