"""The app's own widgets, one a file: they show what they are given and post what a person did."""
