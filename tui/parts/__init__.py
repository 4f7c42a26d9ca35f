"""The parts of the app that own something: the models, the meter, the history, the values. Each knows the app."""
