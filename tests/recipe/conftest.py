"""The small recipe with matrices, for the tests of matrices."""

from __future__ import annotations

import pytest
from matrix_recipe import as_matrix


@pytest.fixture
def matrix(recipe_file):
    """The path of the small recipe with matrices, changed by a function."""

    def write(edit=lambda data: None):
        return recipe_file(lambda data: (as_matrix(data), edit(data)))

    return write
