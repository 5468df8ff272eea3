"""Whether a stored question asks the same as a new one: found by FAISS, judged by text."""
