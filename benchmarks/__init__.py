"""What a hive costs, measured side by side with arq; `./benchmarks/run` is the one command."""
