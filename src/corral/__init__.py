"""One HTTP endpoint in front of every model a person or a small team can run themselves."""

__version__ = "0.1.0"
