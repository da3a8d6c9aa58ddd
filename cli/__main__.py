"""`python -m cli` is `villa`."""

from cli.app import main

main()
