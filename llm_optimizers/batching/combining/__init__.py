"""Several questions in one prompt, behind a gate."""
