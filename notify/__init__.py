"""notify: a POST from a backend, on every tab and phone of a person, over any number of nodes."""

__version__ = "0.1.0"
