"""What a configuration would do with a day of requests: the real scheduler on virtual time.

Here belong traces, the times that models take, the event loop that plays them, and what it measured. Pure: texts and settings in,
numbers and pictures out; no clock, no files, and no chance but the seeded one that a generator is handed. Nothing about scheduling is
decided here.
"""
