"""The provider's prompt cache: how a prompt is laid out for it, and what breaking it costs."""
