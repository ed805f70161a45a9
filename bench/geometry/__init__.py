"""Shapes of clouds of vectors. NumPy and SciPy in float64; each measure is a function with its formula.

A measure that has no value for a cloud raises `UndefinedError` with the reason, and never gives 0 or NaN instead.
"""
