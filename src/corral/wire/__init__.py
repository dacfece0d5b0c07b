"""Bytes to meaning and back: headers, server-sent events, JSON's members, forms, encodings. Pure: no sockets, no files; parsers are fed pieces
as they come."""
