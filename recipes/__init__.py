"""What the adapters that we ship are trained on: the recipe, and the rows of our own. No part of the wheel."""
