"""Tokenizers, chat templates and the one billing count."""
