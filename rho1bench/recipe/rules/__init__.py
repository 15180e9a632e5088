"""What a recipe must fulfil beyond the types of its fields: stages that name each other rightly, sizes that fit.

``rule`` is how a rule is written; ``training``, ``tuning``, ``selection``, ``vocabulary``, ``evaluation`` and
``contests`` hold them, ``references`` what a stage may name, ``check`` asks them all.
"""
