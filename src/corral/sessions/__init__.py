"""Conversations: what is kept of them, what of them goes into a prompt. Pure: no clock, no I/O; knows no API and no database."""
