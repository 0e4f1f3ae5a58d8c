"""Papers, one a file: their runs, and their numbers beside ours."""

from engram.papers import artbp, chrono, online, uoro

PAPERS = {"uoro": uoro, "artbp": artbp, "chrono": chrono, "online": online}
