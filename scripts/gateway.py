"""The local gateway: plain OpenAI on the loopback, paid behind it. The code is in node/cli/gateway.py."""

from node.cli.gateway import main

if __name__ == "__main__":
    main()
