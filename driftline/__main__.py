"""`python -m driftline` is the `driftline` command."""

from driftline.command import main

main()
