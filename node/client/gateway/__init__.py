"""The local gateway: plain OpenAI on the loopback, paid requests behind it."""
