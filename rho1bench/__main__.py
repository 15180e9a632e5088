"""``python -m rho1bench`` is the ``rho1bench`` command."""

from rho1bench.cli import main

main()
