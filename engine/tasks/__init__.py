"""What people use a model for, one file a task: its prompts in both languages, and how the model is run for it."""
