"""Stages of a workflow as forks of one process that has imported torch and the other libraries: their imports take most of the
time of a small stage. Linux only; elsewhere, and whenever the server cannot be used, a stage runs in a process of its own.
"""
