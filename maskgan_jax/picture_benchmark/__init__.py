"""The command `picture_benchmark`: pictures to translate, and the measures of anybody's results."""
