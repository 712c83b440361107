"""The measurement of a machine's speeds, once for many sessions: `measure_speeds`, and the file that keeps them."""
