"""Timers: each job finds due rows and calls one service. Holds no state of its own."""
