"""``python -m rho1bench`` is the ``rho1bench`` command."""

from rho1bench.cli.app import main

if __name__ == "__main__":  # worker processes of multiprocessing import this module under another name
    main()
