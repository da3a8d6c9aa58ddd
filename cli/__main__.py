"""`python -m cli` is `villa`."""

from cli import main

main()
