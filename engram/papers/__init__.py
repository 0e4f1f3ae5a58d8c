"""Papers, one a file: their runs, and their numbers beside ours."""

from engram.papers import uoro

PAPERS = {"uoro": uoro}
