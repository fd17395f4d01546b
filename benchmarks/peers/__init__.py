"""Other task queues on Redis, each in an environment of its own.

A queue has a folder: `worker.py PORT SETTINGS` and `client.py SETTINGS PORT VERB OPTIONS`, run by its own interpreter,
and `wanted.in` with `locked.txt` for its environment. The modules beside the folders import the standard library alone
if a queue's process uses them.
"""
