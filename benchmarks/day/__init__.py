"""A whole day of traffic through the LangChain stack, against a recorded provider."""
