"""Speech-to-lip baselines: networks, adapters and trainers. Installed as `lse_bench.baselines`."""
