"""The APIs spoken through corral: which routes there are, where a body names its model and how that is rewritten, what an answer says of its
tokens, what a client is told while it waits, what lists, events and errors look like. Pure: values in, values or bytes out."""
