"""The command `compile_for_tpu`: a config's programs for TPUs that are not there."""
