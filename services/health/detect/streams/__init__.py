"""Detectors of what is out of the ordinary in a stream of numbers.

A detector is fed one value after the other and says how odd each is: 1 or more is odd. It keeps a constant number of
values however long it runs, learns nothing from what is not a number, and is a dataclass of numbers, arrays and others
of its kind, so that `dataclasses.asdict` is its whole state.
"""
