"""The promises of methods and data set layouts as functions: for ours, and for those of other packages.

    from zsad.testing import check_layout, check_method

    def test_my_method():
        check_method(MyMethod)

A promise that is not kept is an ``AssertionError`` that says the promise and what was found. No test runner is needed.
Methods are run on a small CLIP with random weights, of the structure and with the vocabulary of the published ones.
"""

from zsad.testing._clip import small_clip
from zsad.testing._layouts import check_layout
from zsad.testing._methods import METHOD_PROMISES, check_method
from zsad.testing._promises import MethodCase, Promise

__all__ = ["METHOD_PROMISES", "MethodCase", "Promise", "check_layout", "check_method", "small_clip"]
