"""The product: the run loop, the life of a request, the books kept of it, and the configuration in force. Does its I/O through the Protocols in
`ports.py`; knows neither uvicorn nor processes nor SQL."""
