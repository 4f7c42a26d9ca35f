"""The app's screens, one a file: the chat owns the open conversation, the others ask one thing and return it."""
