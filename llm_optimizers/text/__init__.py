"""Words, stems, sentences and what of a text may not be touched: what every strategy reads."""
