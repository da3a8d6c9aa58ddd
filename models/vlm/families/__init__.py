"""Published vision-language models, one family a file; `models.vlm.family` says what a file holds."""
