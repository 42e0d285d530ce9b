"""SWIM-style liveness over signed packets, sans I/O: the live node and the gossip simulator drive the same code."""
