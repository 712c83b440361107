"""The code that runs inside the capped process: workers, lanes, tasks and readers. Mostly imports torch.

Outside the worker, only the table of readers and the lazy module are imported; neither imports torch.
"""
