"""The overrides of Hugging Face's trainers: resumable, selective, supervised."""
