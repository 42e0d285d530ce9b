"""What the services need of the world, as few methods as possible, a story a file. No logic; fakes live in tests/."""
