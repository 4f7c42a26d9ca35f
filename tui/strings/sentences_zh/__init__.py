"""Sentences in Chinese by what they are about, each table a list of forms; `tui.strings.sentences` reads them."""
