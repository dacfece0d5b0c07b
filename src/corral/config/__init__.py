"""What the user wrote, parsed into values that are valid by existing.

Pure: text and environment come in as arguments, a `Config` or every problem at once goes out. What needs the machine to know (is the
program there, is a port free) is checked by `host`.
"""
