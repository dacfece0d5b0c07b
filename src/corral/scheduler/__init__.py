"""Who runs, who waits, who leaves.

Pure: facts in, orders out, time as an argument. It knows neither processes nor sockets nor HTTP.
"""
