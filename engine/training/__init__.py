"""Fine-tuning: low-rank adapters (LoRA) trained over an installed int8 model, and how they are kept and applied."""
