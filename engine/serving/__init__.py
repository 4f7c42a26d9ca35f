"""A model kept warm in a process of its own: the socket that commands use, and the HTTP that other programs speak."""
