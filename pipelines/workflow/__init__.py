"""Several commands as one run: stages that a file names, each done again only when what it depends on has changed."""
