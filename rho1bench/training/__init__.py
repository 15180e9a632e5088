"""Training on transformers.Trainer, accelerate and TRL: pretraining (CLM, SLM, reference) and SFT (section 3)."""
