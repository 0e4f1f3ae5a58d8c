"""`python -m farback`."""

from farback.cli import main

main()
