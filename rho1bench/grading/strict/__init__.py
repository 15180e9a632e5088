"""The strict verdict (``verified``): is the stated answer truly the gold answer?

Independent of the paper's normal form, which forgets units, percent signs and order of magnitude. ``extraction`` finds
the answer as it was written (in a box, ``stated`` in a sentence, or as the ``last_number``); ``normal_form`` removes
what is only typography (``unicode_math``); ``quantity``, ``number_words`` and ``units`` read numbers exactly;
``structures`` takes lists, intervals and equations apart; ``text_answers`` reads words; ``equality`` holds the rules.
What they leave open runs in a worker: ``symbolic`` reads LaTeX through math-verify, ``exact`` compares numbers and
expressions, ``solution_sets`` inequalities and equations.

Which side is the gold answer makes no difference to the rules: each treats both alike. Known asymmetries of answers:
none. Of time, one: a pair may run out of it from one side only.
"""
