"""Tables, plots and the web page, built from stored results. Installed as `lse_bench.leaderboard`."""
