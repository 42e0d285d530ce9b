"""The world behind the ports: each adapter knows one library and decides nothing about money."""
