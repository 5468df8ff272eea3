"""Cheap answers that are checked before they are served: checks, their verdict, whether it pays."""
