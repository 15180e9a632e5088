"""The strict verdict (``verified``): is the stated answer truly the gold answer?

Independent of the paper's normal form, which forgets units, percent signs and order of magnitude. ``extraction`` finds
the answer as it was written, ``normal_form`` removes what is only typography, ``quantity`` and ``units`` read numbers
with units exactly, ``structures`` takes lists, intervals and equations apart, ``text_answers`` reads words,
``equality`` holds the rules, and ``symbolic`` (math-verify and sympy, in a worker) settles what is left.

Which side is the gold answer makes no difference to the rules: each treats both alike, and the algebra is asked both
ways and must agree. Known asymmetries of answers: none. Of time, one: a pair may run out of it from one side only.
"""
