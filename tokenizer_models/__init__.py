"""SentencePiece models that the project ships, each with its recipe, licence and sha256."""
