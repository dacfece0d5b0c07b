"""What a person types: commands, their help, their tables, their exit codes.

Here belongs what turns a command line into a call and an answer into text. Nothing about models is decided here. Imports lazily:
`corral --help` must not pay for a server.
"""
