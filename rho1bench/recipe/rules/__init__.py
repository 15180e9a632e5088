"""What a recipe must fulfil beyond the types of its fields: stages that name each other rightly, sizes that fit.

<<<<<<< HEAD
``rule`` is how a rule is written; ``training``, ``vocabulary``, ``evaluation`` and ``contests`` hold them,
=======
``rule`` is how a rule is written; ``training``, ``selection``, ``vocabulary`` and ``evaluation`` hold them,
>>>>>>> main
``references`` what a stage may name, ``check`` asks them all.
"""
