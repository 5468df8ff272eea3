"""The modules of `soak.py`: a provider that fails now and then, and the apps that call it."""
