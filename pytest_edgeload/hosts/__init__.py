"""Other machines that measure: their file, the connection to them, and what they need. Knows neither pytest nor xdist.

execnet reaches them over ssh. It comes with pytest-xdist, so only the modules that connect import it.
"""
