"""Conversations as each API writes them: requests read into chat messages and written again, answers read into one."""
