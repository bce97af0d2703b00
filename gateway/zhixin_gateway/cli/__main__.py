"""``python -m zhixin_gateway.cli``: the same as ``zhixin``."""

from zhixin_gateway.cli import main

main()
