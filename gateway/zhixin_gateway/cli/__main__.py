"""``python -m zhixin_gateway.cli``: the command line where its script is not on the path."""

from zhixin_gateway.cli import main

main()
