"""Passes that leave what a prompt says as it is: blanks, markup noise, JSON, repeats."""
