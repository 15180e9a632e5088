"""What a run would do, in numbers, before anything runs; nothing is read but the recipe.

``estimate``: memory (``memory``), disk and hours of every stage on given GPUs; ``tables`` shows them (``rho1bench
plan``). ``dry_run``: what ``rho1bench run --dry-run`` shows. Steps and
tokens of a stage are known to its model in ``recipe``.
"""
