"""A first recipe of one's own (``rho1bench init``): a shipped one to change, or a whole one over one's own text.

``own_text`` looks at the text, ``start`` fills the templates beside it and writes the file with its schema.
"""
